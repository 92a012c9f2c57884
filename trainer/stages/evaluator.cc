#include "protopage/trainer/stages/evaluator.h"

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/closed_set.h"
#include "protopage/eval/identification.h"
#include "protopage/eval/verification.h"

namespace protopage {
namespace {

absl::StatusOr<ClosedSetResult> ClosedSet(Session& session, const ImageSource& source,
                                          absl::Span<const int64_t> records,
                                          const RowSource& prototypes,
                                          const ClosedSetOptions& options, EvalReport& report) {
  Embedder embedder = session.MakeEmbedder();
  PROTOPAGE_ASSIGN_OR_RETURN(const EmbeddedImages images, embedder.RunAll(source, records));
  // A single domain needs no breakdown.
  const bool by_domain = source.domain_names().size() > 1;
  for (size_t i = 0; by_domain && i < source.domain_names().size(); ++i) {
    report.domain_names[static_cast<int32_t>(i)] = source.domain_names()[i];
  }
  return EvaluateClosedSet(
      images.features, images.labels,
      by_domain ? absl::MakeConstSpan(images.domains) : absl::Span<const int32_t>(), prototypes,
      options, session.pool());
}

absl::Status EvaluateUnseen(Session& session, const ImageSource& source, const Gallery& gallery,
                            EvalReport& report) {
  if (gallery.ids.empty()) return absl::OkStatus();
  Embedder embedder = session.MakeEmbedder();
  PROTOPAGE_ASSIGN_OR_RETURN(const EmbeddedImages ids, embedder.RunAll(source, gallery.ids));
  PROTOPAGE_ASSIGN_OR_RETURN(const EmbeddedImages spots, embedder.RunAll(source, gallery.spots));
  PROTOPAGE_ASSIGN_OR_RETURN(
      report.identification,
      EvaluateIdentification(ids.features, ids.labels, spots.features, spots.labels,
                             /*distractors=*/{}, {}, session.pool()));
  PROTOPAGE_ASSIGN_OR_RETURN(
      report.verification,
      EvaluateVerification({ids.features, ids.labels}, {spots.features, spots.labels}, {},
                           session.pool()));
  return absl::OkStatus();
}

}  // namespace

void WarnOfUnmeasured(Session& session, const ImageSource& unseen, const Gallery& gallery) {
  if (!gallery.ids.empty()) {
    const auto compared = static_cast<int64_t>(gallery.ids.size() + gallery.spots.size());
    if (compared == unseen.size()) return;
    session.Warn(absl::StrCat("split unseen: ", unseen.size() - compared, " of ", unseen.size(),
                              " images are not compared: those of domains other than \"id\" and "
                              "\"spot\", and all but the first of domain \"id\" of a class"));
    return;
  }
  session.Warn(absl::StrCat(
      "split unseen is not measured: identification and verification compare images of domain "
      "\"id\" with images of domain \"spot\", found ",
      unseen.domain_names().size() == 1 ? "domain " : "domains ",
      absl::StrJoin(unseen.domain_names(), ", "), " (", unseen.Description(), ")"));
}

absl::StatusOr<Gallery> ChooseGallery(const ImageSource& source) {
  Gallery gallery;
  const int id_domain = FindDomain(source, "id");
  const int spot_domain = FindDomain(source, "spot");
  if (id_domain < 0 || spot_domain < 0) return gallery;
  std::set<ClassId> with_id;
  for (int64_t record = 0; record < source.size(); ++record) {
    if (source.Domain(record) == id_domain && with_id.insert(source.Label(record)).second) {
      gallery.ids.push_back(record);
    } else if (source.Domain(record) == spot_domain) {
      gallery.spots.push_back(record);
    }
  }
  const bool genuine = std::any_of(gallery.spots.begin(), gallery.spots.end(), [&](int64_t spot) {
    return with_id.count(source.Label(spot)) > 0;
  });
  const bool impostor = std::any_of(gallery.spots.begin(), gallery.spots.end(), [&](int64_t spot) {
    return with_id.size() > with_id.count(source.Label(spot));
  });
  if (!genuine || !impostor) {
    return absl::InvalidArgumentError(absl::StrCat(
        source.Description(), ": found ", gallery.ids.size(), " classes with an id image and ",
        gallery.spots.size(), " spots, expected pairs of one class and of two"));
  }
  return gallery;
}

absl::Status CheckClosedSet(Split split, const ImageSource& source, int64_t classes) {
  if (split == Split::kUnseen) {
    return absl::InvalidArgumentError(
        "split: found unseen, whose classes have no prototypes, expected one of known classes");
  }
  if (source.num_classes() == classes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("split: ", source.Description(), " has ",
                                                 source.num_classes(),
                                                 " classes, the classifier to evaluate ", classes));
}

absl::StatusOr<std::vector<int64_t>> RecordsToClassify(const ImageSource& source,
                                                       const PrototypeStore& store) {
  std::vector<int64_t> records = AllRecords(source);
  records.erase(
      std::remove_if(records.begin(), records.end(),
                     [&](int64_t record) { return store.is_dropped(source.Label(record)); }),
      records.end());
  if (!records.empty()) return records;
  return absl::InvalidArgumentError(
      absl::StrCat("split: ", source.Description(),
                   ": all of dropped classes, expected an image of another one"));
}

absl::StatusOr<EvalReport> EvaluateSource(Session& session, Split split, const std::string& name) {
  if (session.head() == nullptr) {
    return absl::FailedPreconditionError("no source stage has trained a head to evaluate");
  }
  EvalReport report;
  report.name = name;
  report.classes = "source";
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session.images().Open(split));
  PROTOPAGE_RETURN_IF_ERROR(CheckClosedSet(split, *source, session.head()->num_classes()));
  PROTOPAGE_RETURN_IF_ERROR(session.CheckImages(split));
  PROTOPAGE_ASSIGN_OR_RETURN(const RowMatrixXf rows, session.head()->Rows(session.backend()));
  PROTOPAGE_ASSIGN_OR_RETURN(report.closed_set, ClosedSet(session, *source, AllRecords(*source),
                                                          MatrixRows(rows), {}, report));
  return report;
}

absl::StatusOr<EvalReport> EvaluateTarget(Session& session, Split split, const std::string& name) {
  if (session.prototypes() == nullptr) {
    return absl::FailedPreconditionError("no imprint or dominant stage has made prototypes");
  }
  EvalReport report;
  report.name = name;
  report.classes = "target";
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session.images().Open(split));
  PrototypeStore& store = session.prototypes()->store();
  PROTOPAGE_RETURN_IF_ERROR(CheckClosedSet(split, *source, store.num_classes()));
  // Before anything is computed: a missing file shows at once.
  std::shared_ptr<const ImageSource> unseen;
  Gallery gallery;
  if (HasSplit(session.config().data, Split::kUnseen)) {
    PROTOPAGE_ASSIGN_OR_RETURN(unseen, session.images().Open(Split::kUnseen));
    PROTOPAGE_ASSIGN_OR_RETURN(gallery, ChooseGallery(*unseen));
    WarnOfUnmeasured(session, *unseen, gallery);
    if (!gallery.ids.empty()) {
      PROTOPAGE_RETURN_IF_ERROR(session.CheckImages(Split::kUnseen));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(session.CheckImages(split));
  RowSource prototypes;
  prototypes.rows = store.num_classes();
  prototypes.dim = store.dim();
  prototypes.read = [&](int64_t first, RowMatrixRef out) -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(session.CheckStop());
    return store.ReadRange(first, out);
  };
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> records, RecordsToClassify(*source, store));
  if (static_cast<int64_t>(records.size()) < source->size()) {
    session.Warn(absl::StrCat("split ", SplitName(split), ": ",
                              source->size() - static_cast<int64_t>(records.size()), " of ",
                              source->size(), " images are of dropped classes and left out"));
  }
  ClosedSetOptions options;
  options.is_dropped = [&store](ClassId id) { return store.is_dropped(id); };
  PROTOPAGE_ASSIGN_OR_RETURN(report.closed_set,
                             ClosedSet(session, *source, records, prototypes, options, report));
  if (unseen != nullptr) {
    PROTOPAGE_RETURN_IF_ERROR(EvaluateUnseen(session, *unseen, gallery, report));
  }
  return report;
}

std::vector<std::pair<std::string, double>> ReportScalars(const EvalReport& report) {
  std::vector<std::pair<std::string, double>> scalars;
  if (report.closed_set.has_value()) {
    scalars.emplace_back("closed_set/top1", report.closed_set->all.Top1());
    scalars.emplace_back("closed_set/top5", report.closed_set->all.Top5());
  }
  if (report.identification.has_value()) {
    const IdentificationResult& result = *report.identification;
    for (const int64_t rank : result.ranks) {
      scalars.emplace_back(absl::StrFormat("identification/rank%d", rank), result.Rate(rank));
    }
  }
  if (report.verification.has_value()) {
    for (const TarAtFar& point : report.verification->at_far) {
      scalars.emplace_back(absl::StrFormat("verification/tar_at_far_%.0e", point.target_far),
                           point.tar);
    }
  }
  return scalars;
}

}  // namespace protopage
