// The conformance suite: what every backend must do, against plain loops in double
// (model/testing/reference_ops.h). A backend's test is one file:
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, BackendConformanceTest,
//                            testing::Values(BackendFactory{"avx2", [] { return NewBackend(); }}),
//                            BackendFactoryName);
//
// The tests are in conformance_*.cc, by the kind of operation. Tensors are filled and read through
// CopyToDevice and CopyToHost only. Feature maps are of the backend's activation_dtype(), and the
// inputs of products are representable in it. Tolerances follow from float epsilon and the lengths
// of sums: for a sum of n products the error bound of any order of summation, (n + few) epsilon sum
// |a b|; a feature map is rounded once more when it is stored.
#ifndef PROTOPAGE_MODEL_TESTING_BACKEND_CONFORMANCE_H_
#define PROTOPAGE_MODEL_TESTING_BACKEND_CONFORMANCE_H_

#include "protopage/model/testing/backend_factory.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/every_operation.h"

#endif  // PROTOPAGE_MODEL_TESTING_BACKEND_CONFORMANCE_H_
