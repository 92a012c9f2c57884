#include "protopage/eval/report.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "protopage/eval/text_table.h"
#include "protopage/eval/wilson_interval.h"

namespace protopage {
namespace {

constexpr int kDecimals = 4;

// A line of a table.
struct Metric {
  std::string name;
  double value = 0;
  std::optional<Interval> interval;
  std::string counts;  // The counts it is computed from, in words.
  bool few = false;    // They are too small.
};

Metric Share(const std::string& name, int64_t successes, int64_t trials, absl::string_view what) {
  return {.name = name,
          .value = static_cast<double>(successes) / static_cast<double>(trials),
          .interval = WilsonInterval(successes, trials),
          .counts = absl::StrCat(FormatCount(successes), " of ", FormatCount(trials), " ", what)};
}

std::string DomainName(const EvalReport& report, int32_t domain) {
  const auto name = report.domain_names.find(domain);
  return name == report.domain_names.end() ? absl::StrCat("domain ", domain) : name->second;
}

std::vector<Metric> Metrics(const EvalReport& report) {
  std::vector<Metric> metrics;
  if (report.closed_set) {
    const auto add = [&](const std::string& suffix, const AccuracyCounts& counts) {
      metrics.push_back(
          Share(absl::StrCat("closed set top-1", suffix), counts.top1, counts.samples, "images"));
      metrics.push_back(
          Share(absl::StrCat("closed set top-5", suffix), counts.top5, counts.samples, "images"));
    };
    add("", report.closed_set->all);
    for (const auto& [domain, counts] : report.closed_set->by_domain) {
      add(absl::StrCat(", ", DomainName(report, domain)), counts);
    }
  }
  if (report.identification) {
    const IdentificationResult& result = *report.identification;
    for (size_t i = 0; i < result.ranks.size(); ++i) {
      metrics.push_back(
          Share(absl::StrCat("rank-", result.ranks[i]), result.hits[i], result.probes, "probes"));
    }
  }
  if (report.verification) {
    const VerificationResult& result = *report.verification;
    for (const TarAtFar& point : result.at_far) {
      Metric metric = Share(absl::StrFormat("TAR at FAR %g", point.target_far), point.true_accepts,
                            result.genuine_pairs, "genuine");
      absl::StrAppend(&metric.counts, ", ", FormatCount(point.false_accepts), " of ",
                      FormatCount(result.impostor_pairs), " impostor pairs");
      metric.few = point.few_false_accepts;
      metrics.push_back(std::move(metric));
    }
    metrics.push_back(
        {.name = "equal error rate",
         .value = result.equal_error_rate,
         .interval = std::nullopt,
         .counts = absl::StrCat(FormatCount(result.genuine_pairs), " genuine, ",
                                FormatCount(result.impostor_pairs), " impostor pairs")});
  }
  return metrics;
}

constexpr char kFewFootnote[] = "* rests on fewer than 10 false accepts\n";

}  // namespace

nlohmann::ordered_json ToJson(const ClosedSetResult& result) {
  const auto counts_json = [](const AccuracyCounts& counts) {
    return nlohmann::ordered_json{
        {"samples", counts.samples}, {"top1", counts.Top1()}, {"top5", counts.Top5()}};
  };
  nlohmann::ordered_json json = {{"num_classes", result.num_classes}};
  json.update(counts_json(result.all));
  if (!result.by_domain.empty()) {
    for (const auto& [domain, counts] : result.by_domain) {
      json["by_domain"][absl::StrCat(domain)] = counts_json(counts);
    }
  }
  return json;
}

nlohmann::ordered_json ToJson(const IdentificationResult& result) {
  nlohmann::ordered_json json = {{"gallery", result.gallery},
                                 {"distractors", result.distractors},
                                 {"probes", result.probes},
                                 {"probes_without_mate", result.probes_without_mate}};
  for (const int64_t rank : result.ranks) json[absl::StrCat("rank", rank)] = result.Rate(rank);
  return json;
}

nlohmann::ordered_json ToJson(const VerificationResult& result) {
  nlohmann::ordered_json json = {{"genuine_pairs", result.genuine_pairs},
                                 {"impostor_pairs", result.impostor_pairs}};
  json["at_far"] = nlohmann::ordered_json::array();
  for (const TarAtFar& point : result.at_far) {
    json["at_far"].push_back({{"target_far", point.target_far},
                              {"tar", point.tar},
                              {"tar_low", point.tar_interval.low},
                              {"tar_high", point.tar_interval.high},
                              {"far", point.far},
                              {"false_accepts", point.false_accepts},
                              {"true_accepts", point.true_accepts},
                              {"threshold", point.threshold},
                              {"few_false_accepts", point.few_false_accepts}});
  }
  json["equal_error_rate"] = result.equal_error_rate;
  json["equal_error_threshold"] = result.equal_error_threshold;
  json["roc"] = nlohmann::ordered_json::array();
  for (const RocPoint& point : result.roc) {
    json["roc"].push_back({{"far", point.far}, {"tar", point.tar}, {"threshold", point.threshold}});
  }
  return json;
}

nlohmann::ordered_json ToJson(const EvalReport& report) {
  nlohmann::ordered_json json = {{"name", report.name}};
  if (!report.classes.empty()) json["classes"] = report.classes;
  if (report.closed_set) {
    json["closed_set"] = ToJson(*report.closed_set);
    if (!report.closed_set->by_domain.empty()) {
      nlohmann::ordered_json by_domain;
      for (const auto& [domain, counts] : report.closed_set->by_domain) {
        by_domain[DomainName(report, domain)] =
            json["closed_set"]["by_domain"][absl::StrCat(domain)];
      }
      json["closed_set"]["by_domain"] = std::move(by_domain);
    }
  }
  if (report.identification) json["identification"] = ToJson(*report.identification);
  if (report.verification) json["verification"] = ToJson(*report.verification);
  return json;
}

namespace {

AccuracyCounts CountsFromJson(const nlohmann::ordered_json& json) {
  AccuracyCounts counts;
  counts.samples = json.at("samples").get<int64_t>();
  // A share of n samples determines its count: its rounding error is far below 1 / n.
  const auto count = [&](const char* key) {
    return std::llround(json.at(key).get<double>() * static_cast<double>(counts.samples));
  };
  counts.top1 = count("top1");
  counts.top5 = count("top5");
  return counts;
}

IdentificationResult IdentificationFromJson(const nlohmann::ordered_json& json) {
  IdentificationResult result;
  result.gallery = json.at("gallery").get<int64_t>();
  result.distractors = json.at("distractors").get<int64_t>();
  result.probes = json.at("probes").get<int64_t>();
  result.probes_without_mate = json.at("probes_without_mate").get<int64_t>();
  for (const auto& item : json.items()) {
    int64_t rank;
    if (!absl::SimpleAtoi(absl::StripPrefix(item.key(), "rank"), &rank)) continue;
    result.ranks.push_back(rank);
    result.hits.push_back(
        std::llround(item.value().get<double>() * static_cast<double>(result.probes)));
  }
  return result;
}

VerificationResult VerificationFromJson(const nlohmann::ordered_json& json) {
  VerificationResult result;
  result.genuine_pairs = json.at("genuine_pairs").get<int64_t>();
  result.impostor_pairs = json.at("impostor_pairs").get<int64_t>();
  for (const auto& item : json.at("at_far")) {
    TarAtFar point;
    point.target_far = item.at("target_far").get<double>();
    point.tar = item.at("tar").get<double>();
    point.tar_interval.low = item.at("tar_low").get<double>();
    point.tar_interval.high = item.at("tar_high").get<double>();
    point.far = item.at("far").get<double>();
    point.false_accepts = item.at("false_accepts").get<int64_t>();
    point.true_accepts = item.at("true_accepts").get<int64_t>();
    point.threshold = item.at("threshold").get<float>();
    point.few_false_accepts = item.at("few_false_accepts").get<bool>();
    result.at_far.push_back(point);
  }
  result.equal_error_rate = json.at("equal_error_rate").get<double>();
  result.equal_error_threshold = json.at("equal_error_threshold").get<float>();
  for (const auto& item : json.at("roc")) {
    RocPoint point;
    point.far = item.at("far").get<double>();
    point.tar = item.at("tar").get<double>();
    point.threshold = item.at("threshold").get<float>();
    result.roc.push_back(point);
  }
  return result;
}

}  // namespace

absl::StatusOr<EvalReport> EvalReportFromJson(const nlohmann::ordered_json& json) {
  EvalReport report;
  // The JSON library reports missing members by exceptions.
  try {
    report.name = json.at("name").get<std::string>();
    report.classes = json.value("classes", "");
    if (json.contains("closed_set")) {
      const nlohmann::ordered_json& closed_set = json.at("closed_set");
      report.closed_set.emplace();
      report.closed_set->num_classes = closed_set.at("num_classes").get<int64_t>();
      report.closed_set->all = CountsFromJson(closed_set);
      if (closed_set.contains("by_domain")) {
        for (const auto& item : closed_set.at("by_domain").items()) {
          const int32_t domain = static_cast<int32_t>(report.domain_names.size());
          report.domain_names[domain] = item.key();
          report.closed_set->by_domain[domain] = CountsFromJson(item.value());
        }
      }
    }
    if (json.contains("identification")) {
      report.identification = IdentificationFromJson(json.at("identification"));
    }
    if (json.contains("verification")) {
      report.verification = VerificationFromJson(json.at("verification"));
    }
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("evaluation report: ", error.what()));
  }
  return report;
}

std::string FormatReport(const EvalReport& report) {
  TextTable table({report.name, "value", "95 % interval", "counts"});
  bool few = false;
  for (const Metric& metric : Metrics(report)) {
    table.AddRow(
        {metric.name, absl::StrCat(FormatFixed(metric.value, kDecimals), metric.few ? "*" : " "),
         metric.interval ? absl::StrCat(FormatFixed(metric.interval->low, kDecimals), " - ",
                                        FormatFixed(metric.interval->high, kDecimals))
                         : "",
         metric.counts});
    few |= metric.few;
  }
  return absl::StrCat(table.ToString(), few ? kFewFootnote : "");
}

std::string FormatComparison(absl::Span<const EvalReport> reports) {
  std::vector<std::vector<Metric>> metrics;
  std::vector<std::string> names;  // Of all metrics, in the order of their first report.
  std::vector<std::string> header = {"metric"};
  for (const EvalReport& report : reports) {
    metrics.push_back(Metrics(report));
    header.push_back(report.name);
    for (const Metric& metric : metrics.back()) {
      if (std::find(names.begin(), names.end(), metric.name) == names.end()) {
        names.push_back(metric.name);
      }
    }
  }
  const size_t base = static_cast<size_t>(
      std::find_if(reports.begin(), reports.end(),
                   [&](const EvalReport& r) { return r.classes == reports.back().classes; }) -
      reports.begin());
  const bool with_change = base + 1 < reports.size();
  if (with_change) header.push_back("change");

  TextTable table(header);
  bool few = false;
  for (const std::string& name : names) {
    std::vector<std::string> cells = {name};
    std::optional<double> first, last;
    for (const std::vector<Metric>& of_report : metrics) {
      const auto metric = std::find_if(of_report.begin(), of_report.end(),
                                       [&](const Metric& m) { return m.name == name; });
      last.reset();
      if (metric != of_report.end()) {
        last = metric->value;
        few |= metric->few;
      }
      if (cells.size() - 1 == base) first = last;
      cells.push_back(last ? absl::StrCat(FormatFixed(*last, kDecimals), metric->few ? "*" : " ")
                           : "- ");
    }
    if (with_change) {
      cells.push_back(first && last ? absl::StrFormat("%+.*f", kDecimals, *last - *first) : "-");
    }
    table.AddRow(std::move(cells));
  }
  std::string text = absl::StrCat(table.ToString(), few ? kFewFootnote : "");
  if (with_change && base > 0) {
    absl::StrAppend(&text, "change: ", reports.back().name, " against ", reports[base].name,
                    ", the first of the same classes\n");
  }
  return text;
}

}  // namespace protopage
