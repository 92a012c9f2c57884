// seed_cnn: the CNN of the demo (reference: keras-lbl-IvS), with Keras' defaults: Glorot uniform
// kernels, zero biases, batch norm with epsilon 1e-3 and momentum .99. 361,120 parameters for 3
// channels.
#ifndef PROTOPAGE_MODEL_NETS_SEED_CNN_H_
#define PROTOPAGE_MODEL_NETS_SEED_CNN_H_

#include "protopage/model/nets/net_entry.h"

namespace protopage {

NetEntry SeedCnn();

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_NETS_SEED_CNN_H_
