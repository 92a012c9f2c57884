// TableFile: a file of ours (prototypes/FORMAT.md) taken apart, to be changed by a fuzzer and put
// together again, with a skeleton that is whole and sealed: HDF5 itself is not what is tested.
//
//   TableFile file = ReadTableFile(path);
//   Mutate(&input, &file);
//   if (input.Below(4) > 0) SetChecksums(&file);
//   if (!WriteTableFile(path, file)) return;  // No such file can be made.
#ifndef PROTOPAGE_PROTOTYPES_FUZZ_TABLE_FILE_H_
#define PROTOPAGE_PROTOTYPES_FUZZ_TABLE_FILE_H_

#include <string>

#include "protopage/base/fuzz/fuzz_input.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

// Each dataset has all of its bytes as `content`.
using TableFile = Hdf5Layout;

// Every error ends the process.
TableFile ReadTableFile(const std::string& path);
// Changes attributes, and names, types, shapes and bytes of datasets.
void Mutate(FuzzInput* input, TableFile* file);
// Makes all checksums of format version 2 match what they are of: cells, header, marks and names.
// Those of version 1 if the attribute format_version is 1.
void SetChecksums(TableFile* file);
// False if HDF5 cannot make such a file.
bool WriteTableFile(const std::string& path, TableFile file);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_FUZZ_TABLE_FILE_H_
