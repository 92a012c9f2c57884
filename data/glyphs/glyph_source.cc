#include "protopage/data/glyphs/glyph_source.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/check.h"
#include "protopage/base/file_checksum.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/glyphs/glyph_renderer.h"
#include "protopage/data/glyphs/han_characters.h"

namespace protopage {
namespace {

constexpr int kId = 0;
constexpr int kSpot = 1;

constexpr const char* kSplitTitles[kNumGlyphSplits] = {"source train", "source test",
                                                       "target train", "target test", "unseen"};

// The first number of an evaluation spot, larger than that of any training spot, so that evaluation
// spots have other random numbers; and the streams for the order of the lineages.
constexpr uint32_t kFirstTestSpot = 1u << 20;
constexpr uint32_t kTrainOrder = 1u << 21;
constexpr uint32_t kTestOrder = (1u << 21) + 1;

// An image that is to be drawn.
struct Plan {
  uint32_t label = 0;
  uint32_t image = 0;  // The key of its distortion.
  uint8_t domain = kId;
  uint8_t font = 0;
};

struct SplitData {
  std::vector<uint32_t> codes;  // The character of each label.
  std::vector<uint32_t> labels;
  std::vector<uint8_t> domains;
  std::vector<uint8_t> fonts;
  std::vector<uint8_t> pixels;  // [records, size, size]
};

class GlyphSource : public ImageSource {
 public:
  GlyphSource(SplitData data, int size, GlyphSplit split, std::vector<std::string> lineages,
              std::string note)
      : data_(std::move(data)),
        image_size_(size),
        split_(split),
        lineages_(std::move(lineages)),
        note_(std::move(note)) {}

  int64_t size() const override { return static_cast<int64_t>(data_.labels.size()); }
  int64_t num_classes() const override { return static_cast<int64_t>(data_.codes.size()); }
  ClassId Label(int64_t record) const override { return data_.labels[record]; }
  int Domain(int64_t record) const override { return data_.domains[record]; }
  const std::vector<std::string>& domain_names() const override { return domain_names_; }
  std::string ClassName(ClassId label) const override { return CodePointName(data_.codes[label]); }
  std::string RecordName(int64_t record) const override {
    return absl::StrCat(ClassName(data_.labels[record]), " ", domain_names_[data_.domains[record]],
                        " in ", lineages_[data_.fonts[record]]);
  }
  absl::Status Read(int64_t record, Image* image) const override {
    image->Reset(image_size_, image_size_, 1);
    std::memcpy(image->pixels.data(), &data_.pixels[record * image->bytes()], image->bytes());
    return absl::OkStatus();
  }
  std::string Description() const override {
    return absl::StrCat("glyphs ", kSplitTitles[static_cast<int>(split_)], ": ", size(),
                        " images of ", num_classes(), " characters", note_);
  }

 private:
  const SplitData data_;
  const int image_size_;
  const GlyphSplit split_;
  const std::vector<std::string> lineages_;
  const std::string note_;
  const std::vector<std::string> domain_names_ = {"id", "spot"};
};

// For each spot, one of the fonts [begin, end) that draw the class: the lineages are used in random
// order, again and again, and of each lineage a random font.
std::vector<uint8_t> SpotFonts(const GlyphFonts& fonts, uint64_t mask, int begin, int end,
                               int64_t count, RandomStream random) {
  std::vector<std::vector<uint8_t>> lineages;
  std::vector<std::string> names;
  for (int f = begin; f < end; ++f) {
    if ((mask >> f & 1) == 0) continue;
    const std::string& name = fonts.fonts[f].lineage;
    auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) {
      it = names.insert(it, name);
      lineages.emplace_back();
    }
    lineages[it - names.begin()].push_back(static_cast<uint8_t>(f));
  }
  PROTOPAGE_CHECK(!lineages.empty());
  std::vector<uint8_t> chosen;
  std::vector<int64_t> order;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t n = static_cast<int64_t>(lineages.size());
    if (i % n == 0) order = SampleWithoutReplacement(random, n, n);
    const std::vector<uint8_t>& lineage = lineages[order[i % n]];
    chosen.push_back(lineage[random.Below(lineage.size())]);
  }
  return chosen;
}

std::vector<Plan> PlanSplit(const GlyphConfig& config, const GlyphFonts& fonts, GlyphSplit split,
                            const std::vector<GlyphClass>& classes) {
  const bool test = split == GlyphSplit::kSourceTest || split == GlyphSplit::kTargetTest ||
                    split == GlyphSplit::kUnseen;
  const bool has_id = split != GlyphSplit::kSourceTest && split != GlyphSplit::kTargetTest;
  int64_t spots = config.test_spots;
  if (split == GlyphSplit::kSourceTrain) spots = config.source_samples - 1;
  if (split == GlyphSplit::kTargetTrain) spots = config.target_spots;
  std::vector<Plan> plans;
  for (size_t label = 0; label < classes.size(); ++label) {
    Plan plan;
    plan.label = static_cast<uint32_t>(label);
    if (has_id) plans.push_back(plan);
    plan.domain = kSpot;
    const std::vector<uint8_t> chosen =
        SpotFonts(fonts, classes[label].fonts, test ? fonts.first_held_out : 1,
                  test ? static_cast<int>(fonts.fonts.size()) : fonts.first_held_out, spots,
                  RandomStream(static_cast<uint64_t>(config.seed), RandomPurpose::kRender,
                               classes[label].code, test ? kTestOrder : kTrainOrder));
    for (int64_t i = 0; i < spots; ++i) {
      plan.font = chosen[i];
      plan.image = static_cast<uint32_t>(i) + (test ? kFirstTestSpot : 0);
      plans.push_back(plan);
    }
  }
  return plans;
}

const std::vector<GlyphClass>& ClassesOf(const GlyphClassSets& sets, GlyphSplit split) {
  switch (split) {
    case GlyphSplit::kSourceTrain:
    case GlyphSplit::kSourceTest:
      return sets.source;
    case GlyphSplit::kTargetTrain:
    case GlyphSplit::kTargetTest:
      return sets.target;
    case GlyphSplit::kUnseen:
      break;
  }
  return sets.unseen;
}

absl::StatusOr<std::vector<SplitData>> RenderAll(const GlyphConfig& config, const GlyphFonts& fonts,
                                                 int size, const GlyphOptions& options) {
  ThreadPool pool(options.threads);
  PROTOPAGE_RETURN_IF_ERROR(pool.status());
  PROTOPAGE_ASSIGN_OR_RETURN(const GlyphClassSets sets,
                             ChooseGlyphClasses(config, fonts, &pool, options.progress));
  std::vector<GlyphFaces> faces(pool.num_threads());
  for (GlyphFaces& set : faces) {
    PROTOPAGE_ASSIGN_OR_RETURN(set, OpenGlyphFaces(fonts));
  }
  std::vector<std::vector<Plan>> plans(kNumGlyphSplits);
  int64_t total = 0;
  for (int s = 0; s < kNumGlyphSplits; ++s) {
    const GlyphSplit split = static_cast<GlyphSplit>(s);
    plans[s] = PlanSplit(config, fonts, split, ClassesOf(sets, split));
    total += static_cast<int64_t>(plans[s].size());
  }
  const int64_t image_bytes = int64_t{size} * size;
  const float strength = static_cast<float>(config.distortion);
  std::vector<SplitData> all(kNumGlyphSplits);
  int64_t done = 0;
  for (int s = 0; s < kNumGlyphSplits; ++s) {
    const std::vector<GlyphClass>& classes = ClassesOf(sets, static_cast<GlyphSplit>(s));
    SplitData& data = all[s];
    for (const GlyphClass& c : classes) data.codes.push_back(c.code);
    for (const Plan& plan : plans[s]) {
      data.labels.push_back(plan.label);
      data.domains.push_back(plan.domain);
      data.fonts.push_back(plan.font);
    }
    const int64_t count = static_cast<int64_t>(plans[s].size());
    data.pixels.resize(count * image_bytes);
    std::vector<uint8_t> failed(count, 0);
    constexpr int64_t kReport = 2048;
    for (int64_t begin = 0; begin < count; begin += kReport) {
      if (options.progress) options.progress("rendering glyphs", done, total);
      const int64_t n = std::min(kReport, count - begin);
      pool.ParallelForThread(n, [&](int64_t task, int thread) {
        const Plan& plan = plans[s][begin + task];
        const uint32_t code = classes[plan.label].code;
        FontFace& face = *faces[thread][plan.font];
        Image image;
        bool drawn;
        if (plan.domain == kId) {
          drawn = DrawId(face, code, size, &image);
        } else {
          RandomStream random(static_cast<uint64_t>(config.seed), RandomPurpose::kRender, code,
                              plan.image);
          drawn = DrawSpot(face, code, size, strength, random, &image);
        }
        failed[begin + task] = !drawn;
        std::memcpy(&data.pixels[(begin + task) * image_bytes], image.pixels.data(), image_bytes);
      });
      done += n;
    }
    // The choice of classes has drawn every glyph before, so either a distortion has moved one out
    // of the image or the font is damaged.
    const auto first = std::find(failed.begin(), failed.end(), 1);
    if (first != failed.end()) {
      const Plan& plan = plans[s][first - failed.begin()];
      return absl::DataLossError(absl::StrCat(FontPath(fonts.font_dir, fonts.fonts[plan.font]),
                                              ": ", CodePointName(classes[plan.label].code),
                                              " is drawn once and not again"));
    }
  }
  if (options.progress) options.progress("rendering glyphs", total, total);
  return all;
}

// The cache file, in the byte order of the machine (a cache is not copied to others): magic, key,
// then for each split the numbers of classes and records, codes, labels, domains, fonts and pixels;
// and at the end XXH3-64 of all these.
constexpr char kMagic[8] = {'P', 'P', 'G', 'L', 'Y', 'P', 'H', '1'};

struct SplitHeader {
  uint64_t classes;
  uint64_t records;
};

template <typename T>
void Append(const std::vector<T>& values, std::string* out) {
  out->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::string Serialize(uint64_t key, const std::vector<SplitData>& all) {
  std::string out(kMagic, sizeof(kMagic));
  out.append(reinterpret_cast<const char*>(&key), sizeof(key));
  for (const SplitData& data : all) {
    const SplitHeader header = {data.codes.size(), data.labels.size()};
    out.append(reinterpret_cast<const char*>(&header), sizeof(header));
    Append(data.codes, &out);
    Append(data.labels, &out);
    Append(data.domains, &out);
    Append(data.fonts, &out);
    Append(data.pixels, &out);
  }
  const uint64_t checksum = XXH3_64bits(out.data(), out.size());
  out.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
  return out;
}

// Copies the next `count` elements and removes them from `in`; false when fewer are left.
template <typename T>
bool Take(absl::string_view* in, uint64_t count, std::vector<T>* values) {
  if (in->size() / sizeof(T) < count) return false;
  values->resize(count);
  std::memcpy(values->data(), in->data(), count * sizeof(T));
  in->remove_prefix(count * sizeof(T));
  return true;
}

// Reads one split of a cache file; false when the file is damaged or has another key.
bool Parse(absl::string_view in, uint64_t key, int size, GlyphSplit split, SplitData* data) {
  uint64_t checksum = 0;
  uint64_t found_key = 0;
  if (in.size() < sizeof(kMagic) + sizeof(key) + sizeof(checksum)) return false;
  std::memcpy(&checksum, in.data() + in.size() - sizeof(checksum), sizeof(checksum));
  in.remove_suffix(sizeof(checksum));
  if (XXH3_64bits(in.data(), in.size()) != checksum) return false;
  if (std::memcmp(in.data(), kMagic, sizeof(kMagic)) != 0) return false;
  in.remove_prefix(sizeof(kMagic));
  std::memcpy(&found_key, in.data(), sizeof(found_key));
  if (found_key != key) return false;
  in.remove_prefix(sizeof(found_key));
  const uint64_t image_bytes = static_cast<uint64_t>(size) * size;
  for (int s = 0; s < kNumGlyphSplits; ++s) {
    std::vector<SplitHeader> header;
    if (!Take(&in, 1, &header)) return false;
    if (s != static_cast<int>(split)) {
      const uint64_t bytes = header[0].classes * 4 + header[0].records * (4 + 2 + image_bytes);
      if (in.size() < bytes) return false;
      in.remove_prefix(bytes);
      continue;
    }
    const uint64_t records = header[0].records;
    return Take(&in, header[0].classes, &data->codes) && Take(&in, records, &data->labels) &&
           Take(&in, records, &data->domains) && Take(&in, records, &data->fonts) &&
           Take(&in, records * image_bytes, &data->pixels);
  }
  return false;
}

// A hash of everything that the pixels depend on.
absl::StatusOr<uint64_t> CacheKey(const GlyphConfig& config, const GlyphFonts& fonts, int size) {
  std::string text = absl::StrCat(
      "version ", kGlyphRenderVersion, " seed ", config.seed, " size ", size, " classes ",
      config.source_classes, " ", config.target_classes, " ", config.unseen_classes, " images ",
      config.source_samples, " ", config.target_spots, " ", config.test_spots, " lineages ",
      config.min_lineages, " distortion ", absl::StrFormat("%.17g", config.distortion),
      " held out from ", fonts.first_held_out);
  std::string previous_path;
  uint64_t content_hash = 0;
  for (const FontSpec& spec : fonts.fonts) {
    const std::string path = FontPath(fonts.font_dir, spec);
    if (path != previous_path) {
      PROTOPAGE_ASSIGN_OR_RETURN(content_hash, FileChecksum(DefaultFileSystem(), path));
      previous_path = path;
    }
    absl::StrAppend(&text, "\n", spec.lineage, " ", spec.face, " ", content_hash);
  }
  return XXH3_64bits(text.data(), text.size());
}

std::string CacheFolder(const GlyphConfig& config) {
  if (!config.cache_dir.empty()) return config.cache_dir;
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg != nullptr && xdg[0] == '/') return JoinPath(xdg, "protopage");
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return JoinPath(home, ".cache/protopage");
  return "";
}

std::string CachePath(const GlyphConfig& config, uint64_t key) {
  const std::string folder = CacheFolder(config);
  if (folder.empty()) return "";
  return JoinPath(folder, absl::StrFormat("glyphs-%016x.bin", key));
}

}  // namespace

absl::StatusOr<std::string> GlyphCachePath(const GlyphConfig& config, int size) {
  PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t key, CacheKey(config, fonts, size));
  return CachePath(config, key);
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenGlyphs(const GlyphConfig& config, int size,
                                                        GlyphSplit split,
                                                        const GlyphOptions& options) {
  if (size < 8 || size > 256) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.image_size ", size, ": glyphs are drawn at 8 to 256 pixels"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t key, CacheKey(config, fonts, size));
  std::vector<std::string> lineages;
  for (const FontSpec& spec : fonts.fonts) lineages.push_back(spec.lineage);
  const std::string path = CachePath(config, key);
  SplitData data;
  if (!path.empty() && options.fs->Exists(path)) {
    const absl::StatusOr<std::string> content = ReadFile(options.fs, path);
    if (content.ok() && Parse(*content, key, size, split, &data)) {
      return std::make_unique<GlyphSource>(std::move(data), size, split, std::move(lineages), "");
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<SplitData> all, RenderAll(config, fonts, size, options));
  std::string note;
  absl::Status written = absl::NotFoundError("neither XDG_CACHE_HOME nor HOME is set");
  if (!path.empty()) {
    written = options.fs->CreateDirectories(DirectoryOf(path));
    if (written.ok()) written = WriteFileAtomically(options.fs, path, Serialize(key, all));
  }
  if (!written.ok()) {
    if (!config.cache_dir.empty()) return WithContext(written, "data.glyphs.cache_dir");
    note = absl::StrCat(" (not cached: ", written.message(), ")");
  }
  return std::make_unique<GlyphSource>(std::move(all[static_cast<int>(split)]), size, split,
                                       std::move(lineages), note);
}

}  // namespace protopage
