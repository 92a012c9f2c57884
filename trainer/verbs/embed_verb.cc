#include "protopage/trainer/verbs/embed_verb.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/verbs/embedding_writer.h"
#include "protopage/trainer/verbs/output_path.h"
#include "protopage/trainer/verbs/user_config.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string run;
  std::string input;
  std::string output;
  std::vector<std::string> set;
  int64_t checkpoint = -1;
};

absl::Status Run(const Flags& flags) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                             OpenRun(flags.run, flags.set, {flags.checkpoint}));
  const auto opened = OpenImages(flags.input, session->config().data);
  if (!opened.ok()) return WithContext(opened.status(), "--input");
  const std::unique_ptr<ImageSource>& source = *opened;
  if (!source->LeftOut().empty()) LogInfo(source->LeftOut());
  PROTOPAGE_RETURN_IF_ERROR(WithContext(CheckOutput(fs, flags.output), "--output"));
  auto created = EmbeddingWriter::Create(fs, flags.output, session->net()->embedding_dim());
  if (!created.ok()) return WithContext(created.status(), "--output");
  const std::unique_ptr<EmbeddingWriter> writer = *std::move(created);
  PROTOPAGE_RETURN_IF_ERROR(WithContext(session->CheckImages(*source, flags.input), "--input"));
  Embedder embedder = session->MakeEmbedder();
  int64_t done = 0;
  const auto append = [&](absl::Span<const int64_t> records, ConstRowMatrixRef features) {
    std::vector<int64_t> labels;
    std::vector<std::string> names;
    for (const int64_t record : records) {
      labels.push_back(source->Label(record));
      names.push_back(source->RecordName(record));
    }
    done += static_cast<int64_t>(records.size());
    if (StderrIsTerminal()) DrawProgress(absl::StrCat("embed ", done, "/", source->size()));
    // Prototypes are compared by cosines, so embeddings are unit vectors.
    const RowMatrixXf unit = features.rowwise().normalized();
    return writer->Append(unit, labels, names);
  };
  PROTOPAGE_RETURN_IF_ERROR(embedder.Run(*source, AllRecords(*source), append));
  PROTOPAGE_RETURN_IF_ERROR(writer->Finish());
  if (StderrIsTerminal()) DrawProgress("");
  LogInfo(absl::StrCat("wrote ", done, " embeddings of ", session->net()->embedding_dim(),
                       " floats to ", flags.output,
                       absl::EndsWith(flags.output, ".npy") ? ", without names" : ""));
  return absl::OkStatus();
}

}  // namespace

CommandVerb EmbedVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "embed";
  verb.summary = "Writes the embeddings of images.";
  verb.flags = {RunFlag(&flags->run),
                {.name = "input",
                 .value = &flags->input,
                 .help = "an image, a folder of images at any depth, or a list file "
                         "(path<TAB>label a line)",
                 .value_name = "PATH",
                 .required = true,
                 .is_path = true},
                {.name = "output",
                 .value = &flags->output,
                 .help = "FILE.npy, or FILE.h5 with the images' names beside the embeddings",
                 .value_name = "FILE",
                 .required = true,
                 .is_path = true},
                SetFlag(&flags->set),
                CheckpointFlag(&flags->checkpoint)};
  verb.run = [flags] { return Run(*flags); };
  return verb;
}

}  // namespace protopage
