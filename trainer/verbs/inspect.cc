#include "protopage/trainer/verbs/inspect.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/text_table.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/trainer/run/run_prototypes.h"

namespace protopage {
namespace {

// A line "name  value".
void AppendLine(std::string& text, absl::string_view name, absl::string_view value) {
  absl::StrAppendFormat(&text, "%-14s%s\n", name, value);
}

std::string CountWithShare(int64_t count, int64_t all) {
  return absl::StrFormat("%s (%.1f %%)", FormatCount(count),
                         100.0 * static_cast<double>(count) / static_cast<double>(all));
}

std::string PairsTitle(const StoreInspection& store) {
  if (store.pairs_complete) {
    return absl::StrCat("nearest pairs of all ", FormatCount(store.pair_classes),
                        " written classes");
  }
  return absl::StrCat("nearest pairs of a sample of ", FormatCount(store.pair_classes),
                      " classes with all ", FormatCount(store.imprinted + store.trained),
                      " written ones");
}

// The title and the table of the pairs, which there must be.
std::string FormatPairs(const StoreInspection& store) {
  std::vector<std::string> head = {"class", "class", "cosine"};
  if (store.has_names) head.insert(head.end(), {"name", "name"});
  TextTable table(head);
  for (const ClassPair& pair : store.pairs) {
    std::vector<std::string> row = {absl::StrCat(pair.a), absl::StrCat(pair.b),
                                    FormatFixed(pair.cosine, 6)};
    if (store.has_names) {
      row.push_back(ClassNames::Printable(pair.a_name));
      row.push_back(ClassNames::Printable(pair.b_name));
    }
    table.AddRow(row);
  }
  return absl::StrCat(PairsTitle(store), ", likely duplicates first:\n", table.ToString());
}

nlohmann::ordered_json PairsToJson(const StoreInspection& store) {
  nlohmann::ordered_json pairs = nlohmann::ordered_json::array();
  for (const ClassPair& pair : store.pairs) {
    nlohmann::ordered_json one = {{"classes", {pair.a, pair.b}}, {"cosine", pair.cosine}};
    if (store.has_names) one["names"] = {pair.a_name, pair.b_name};
    pairs.push_back(std::move(one));
  }
  return pairs;
}

}  // namespace

absl::StatusOr<Inspection> InspectFile(FileSystem* fs, const std::string& path,
                                       const StoreInspectionOptions& options, ThreadPool* pool) {
  PrototypeStoreOptions store_options;
  store_options.read_only = true;
  store_options.file_system = fs;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(path, store_options));
  Inspection inspection;
  PROTOPAGE_ASSIGN_OR_RETURN(inspection.store, InspectStore(store.get(), options, pool));
  return inspection;
}

absl::StatusOr<Inspection> InspectRun(FileSystem* fs, const std::string& directory,
                                      const StoreInspectionOptions& options, ThreadPool* pool,
                                      int64_t checkpoint) {
  Inspection inspection;
  PROTOPAGE_RETURN_IF_ERROR(ReadRunPrototypes(
      fs, directory, checkpoint, pool, [&](const RunPrototypes& run) -> absl::Status {
        inspection.checkpoint = run.checkpoint;
        const TableLogStats log = run.set->log_stats();
        inspection.log_segments = log.segments;
        inspection.log_bytes = log.bytes;
        PROTOPAGE_ASSIGN_OR_RETURN(inspection.store,
                                   InspectStore(&run.set->store(), options, pool));
        return absl::OkStatus();
      }));
  return inspection;
}

std::string FormatInspection(const Inspection& inspection) {
  const StoreInspection& store = inspection.store;
  std::string text;
  AppendLine(text, "store", store.path);
  if (!inspection.checkpoint.empty()) {
    AppendLine(text, "checkpoint",
               absl::StrFormat("%s, with %s in %d segments of the log", inspection.checkpoint,
                               FormatBytes(inspection.log_bytes), inspection.log_segments));
  } else if (store.main_checkpoint >= 0) {
    AppendLine(text, "", "The file of a run, as of an old checkpoint; --run shows the newest.");
  }
  AppendLine(text, "format",
             absl::StrFormat("%d, %s", store.format_version,
                             store.clean ? "clean"
                                         : "NOT CLEAN: its process died while it wrote, rows of "
                                           "several steps may be mixed"));
  AppendLine(text, "rows",
             absl::StrFormat("%s of %d %s, room for %s, state %s", FormatCount(store.num_classes),
                             store.dim, store.dtype, FormatCount(store.capacity), store.row_state));
  AppendLine(text, "on disk",
             absl::StrFormat("%s of %s, the rest is holes", FormatBytes(store.allocated_bytes),
                             FormatBytes(store.file_bytes)));
  const auto share = [&](int64_t count) { return CountWithShare(count, store.num_classes); };
  AppendLine(text, "trained", share(store.trained));
  AppendLine(text, "imprinted", absl::StrCat(share(store.imprinted), ", not trained since"));
  AppendLine(text, "never written", share(store.never_written));
  AppendLine(text, "dropped", share(store.dropped));
  if (store.trained > 0) {
    AppendLine(text, "staleness",
               absl::StrFormat("median %s steps before step %s, the newest; 90 %% %s, 99 %% %s, "
                               "most %s",
                               FormatCount(store.age_median), FormatCount(store.newest_step),
                               FormatCount(store.age_p90), FormatCount(store.age_p99),
                               FormatCount(store.age_max)));
  }
  if (store.trained + store.imprinted > 0) {
    AppendLine(text, "norms",
               absl::StrFormat("least %.6f, mean %.6f, most %.6f", store.norm_min, store.norm_mean,
                               store.norm_max));
  }
  if (!store.pairs.empty()) absl::StrAppend(&text, "\n", FormatPairs(store));
  return text;
}

nlohmann::ordered_json ToJson(const Inspection& inspection) {
  const StoreInspection& store = inspection.store;
  nlohmann::ordered_json json;
  json["store"] = store.path;
  if (!inspection.checkpoint.empty()) {
    json["checkpoint"] = inspection.checkpoint;
    json["log_segments"] = inspection.log_segments;
    json["log_bytes"] = inspection.log_bytes;
  }
  json["format_version"] = store.format_version;
  json["clean"] = store.clean;
  json["num_classes"] = store.num_classes;
  json["capacity"] = store.capacity;
  json["dim"] = store.dim;
  json["dtype"] = store.dtype;
  json["row_state"] = store.row_state;
  json["file_bytes"] = store.file_bytes;
  json["allocated_bytes"] = store.allocated_bytes;
  json["trained"] = store.trained;
  json["imprinted"] = store.imprinted;
  json["never_written"] = store.never_written;
  json["dropped"] = store.dropped;
  json["newest_step"] = store.newest_step;
  json["age_steps"] = {{"median", store.age_median},
                       {"p90", store.age_p90},
                       {"p99", store.age_p99},
                       {"max", store.age_max}};
  json["norms"] = {{"min", store.norm_min}, {"mean", store.norm_mean}, {"max", store.norm_max}};
  json["pair_classes"] = store.pair_classes;
  json["pairs_complete"] = store.pairs_complete;
  json["pairs"] = PairsToJson(store);
  return json;
}

}  // namespace protopage
