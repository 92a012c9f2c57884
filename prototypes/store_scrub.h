// Reads everything that the tables of a run or a store have, to find damage before it is needed.
//
//   std::vector<absl::Status> damage = ScrubStore(store.get(), /*progress=*/{});
//
// Every cell of every column is compared with its checksum, in the log or in the main file, as the
// checkpoint has it. Bytes that no reader uses are not: cells that were never written, rows of
// dropped classes, and what a newer record in the log replaces.
#ifndef PROTOPAGE_PROTOTYPES_STORE_SCRUB_H_
#define PROTOPAGE_PROTOTYPES_STORE_SCRUB_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {

// Called now and then with the rows done so far, of all.
using ScrubProgress = std::function<void(int64_t done, int64_t total)>;

// The errors of reading all rows with their state, and the names. At most 20; one is enough to know
// that the store is damaged, and several tell where.
std::vector<absl::Status> ScrubStore(PrototypeStore* store, const ScrubProgress& progress);

// The same for the queues at `path`, a table of `log`, which is open for reading. `id`: as
// ClassQueuesOptions::id.
std::vector<absl::Status> ScrubQueues(FileSystem* fs, const std::string& path, TableLog* log,
                                      uint64_t id);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_STORE_SCRUB_H_
