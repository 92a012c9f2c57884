#include "protopage/trainer/verbs/command_line.h"

#include <cstdlib>

#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() { unsetenv("BUILD_WORKING_DIRECTORY"); }

  absl::Status Parse(const std::vector<std::string>& arguments) {
    const absl::StatusOr<ParsedCommand> command = ParseCommandLine(program_, arguments);
    verb_ = command.ok() && command->verb != nullptr ? command->verb->name : "";
    text_ = command.ok() ? command->text : "";
    return command.status();
  }

  std::string config_;
  std::string format_ = "onnx";
  std::vector<std::string> set_;
  bool resume_ = false;
  int64_t steps_ = 100;
  double margin_ = 0.2;
  absl::Status result_;
  int runs_ = 0;
  CommandProgram program_ = {
      .name = "protopage",
      .summary = "Trains embeddings with more classes than memory holds.",
      .version = "1.2",
      .verbs = {{.name = "train",
                 .summary = "Trains as a config says.",
                 .flags = {{.name = "config",
                            .value = &config_,
                            .help = "the config (JSON)",
                            .value_name = "FILE",
                            .required = true,
                            .is_path = true},
                           {.name = "set",
                            .value = &set_,
                            .help = "replaces a value of the config",
                            .value_name = "KEY=VALUE"},
                           {.name = "resume",
                            .value = &resume_,
                            .help = "goes on from the last checkpoint"},
                           {.name = "steps", .value = &steps_, .help = "steps"},
                           {.name = "margin", .value = &margin_, .help = "margin of the loss"}},
                 .run =
                     [this] {
                       ++runs_;
                       return result_;
                     },
                 .details = "More of training."},
                {.name = "export",
                 .summary = "Writes the net for other programs.",
                 .flags = {{.name = "format",
                            .value = &format_,
                            .help = "of the file",
                            .choices = {"onnx", "hdf5"}}}},
                {.name = "classes add", .summary = "Adds classes."},
                {.name = "classes drop", .summary = "Drops classes."}}};
  std::string verb_;
  std::string text_;
};

TEST_F(CommandLineTest, BothFormsOfAValue) {
  PROTOPAGE_ASSERT_OK(Parse({"train", "--config=a.json", "--steps", "7", "--margin=-1e-1", "--set",
                             "a=1", "--set=b.c=[1, 2]", "--resume"}));
  EXPECT_EQ(verb_, "train");
  EXPECT_EQ(config_, "a.json");
  EXPECT_EQ(steps_, 7);
  EXPECT_EQ(margin_, -0.1);
  EXPECT_THAT(set_, ElementsAre("a=1", "b.c=[1, 2]"));
  EXPECT_TRUE(resume_);
}

TEST_F(CommandLineTest, FlagsThatAreNotGivenKeepTheirDefaults) {
  PROTOPAGE_ASSERT_OK(Parse({"train", "--config", "a.json"}));
  EXPECT_EQ(steps_, 100);
  EXPECT_EQ(margin_, 0.2);
  EXPECT_FALSE(resume_);
  EXPECT_THAT(set_, IsEmpty());
}

TEST_F(CommandLineTest, ABoolTakesItsValueByAnEqualsSignOnly) {
  resume_ = true;
  PROTOPAGE_ASSERT_OK(Parse({"train", "--config=a", "--resume=false"}));
  EXPECT_FALSE(resume_);
  EXPECT_THAT(Parse({"train", "--config=a", "--resume", "false"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "unexpected argument \"false\""));
  EXPECT_THAT(Parse({"train", "--config=a", "--resume=maybe"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "--resume: found \"maybe\", expected true or false"));
}

TEST_F(CommandLineTest, ANegativeNumberIsAValue) {
  PROTOPAGE_ASSERT_OK(Parse({"train", "--config=a", "--margin", "-2"}));
  EXPECT_EQ(margin_, -2);
}

TEST_F(CommandLineTest, AListsDefaultIsReplaced) {
  set_ = {"default=1"};
  PROTOPAGE_ASSERT_OK(Parse({"train", "--config=a", "--set=a=1", "--set=b=2"}));
  EXPECT_THAT(set_, ElementsAre("a=1", "b=2"));
}

TEST_F(CommandLineTest, VerbsOfTwoWords) {
  PROTOPAGE_ASSERT_OK(Parse({"classes", "drop"}));
  EXPECT_EQ(verb_, "classes drop");
  EXPECT_THAT(Parse({"classes", "drp"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "did you mean \"classes drop\"?"));
  EXPECT_THAT(Parse({"classes"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "unknown verb \"classes\""));
}

TEST_F(CommandLineTest, UnknownNamesSuggestTheNearest) {
  EXPECT_THAT(Parse({"trian", "--config=a"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown verb \"trian\", did you mean \"train\"? (see "
                       "protopage --help)"));
  EXPECT_THAT(Parse({"train", "--confg=a"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown flag --confg, did you mean --config? (see "
                       "protopage train --help)"));
  const absl::Status far = Parse({"train", "--zzzzzzzzzz"});
  EXPECT_THAT(far, StatusIs(absl::StatusCode::kInvalidArgument, "unknown flag --zzzzzzzzzz (see"));
  EXPECT_THAT(Parse({"zzzzzzzzzz"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                              "the verbs are train, export, classes add"));
}

TEST_F(CommandLineTest, WrongUsageIsNamed) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Parse({}), StatusIs(invalid, "no verb given; the verbs are"));
  EXPECT_THAT(Parse({"train"}), StatusIs(invalid, "train needs --config=FILE (the config"));
  EXPECT_THAT(Parse({"train", "--config"}),
              StatusIs(invalid, "--config needs a value: --config=FILE"));
  EXPECT_THAT(Parse({"train", "--config", "--resume"}),
              StatusIs(invalid, "--config needs a value"));
  EXPECT_THAT(Parse({"train", "--config="}),
              StatusIs(invalid, "--config: found \"\", expected a path"));
  EXPECT_THAT(Parse({"train", "--config=a", "--config=b"}),
              StatusIs(invalid, "--config is given twice"));
  EXPECT_THAT(Parse({"train", "--config=a", "--steps=1.5"}),
              StatusIs(invalid, "--steps: found \"1.5\", expected an integer"));
  EXPECT_THAT(Parse({"train", "--config=a", "--margin=much"}),
              StatusIs(invalid, "--margin: found \"much\", expected a number"));
  EXPECT_THAT(Parse({"export", "--format=pt"}),
              StatusIs(invalid, "--format: found \"pt\", expected one of onnx, hdf5"));
  EXPECT_THAT(Parse({"train", "a.json"}), StatusIs(invalid, "unexpected argument \"a.json\""));
  EXPECT_THAT(Parse({"train", "--"}), StatusIs(invalid, "unexpected argument \"--\""));
  EXPECT_THAT(Parse({"train", "-c", "a"}), StatusIs(invalid, "unexpected argument \"-c\""));
}

TEST_F(CommandLineTest, HelpOfTheProgram) {
  PROTOPAGE_ASSERT_OK(Parse({"--help"}));
  EXPECT_EQ(verb_, "");
  EXPECT_EQ(text_,
            "Trains embeddings with more classes than memory holds.\n"
            "\n"
            "Usage: protopage VERB --flag=value ...\n"
            "\n"
            "  train         Trains as a config says.\n"
            "  export        Writes the net for other programs.\n"
            "  classes add   Adds classes.\n"
            "  classes drop  Drops classes.\n"
            "\n"
            "protopage VERB --help tells a verb's flags, protopage --version "
            "what this is.\n"
            "Exit status: 0 done, 1 failed, 2 wrong usage or config, 3 "
            "interrupted, --resume goes on.\n");
}

TEST_F(CommandLineTest, HelpOfAVerbWhateverElseIsWrong) {
  PROTOPAGE_ASSERT_OK(Parse({"train", "--nonsense", "--help"}));
  EXPECT_EQ(text_,
            "Trains as a config says.\n"
            "\n"
            "Usage: protopage train --config=FILE [--flag=value ...]\n"
            "\n"
            "  --config=FILE  (required)\n"
            "      the config (JSON)\n"
            "\n"
            "  --set=KEY=VALUE  (may be repeated)\n"
            "      replaces a value of the config\n"
            "\n"
            "  --resume\n"
            "      goes on from the last checkpoint\n"
            "\n"
            "  --steps=INTEGER  (default: 100)\n"
            "      steps\n"
            "\n"
            "  --margin=NUMBER  (default: 0.2)\n"
            "      margin of the loss\n"
            "\n"
            "More of training.\n");
  PROTOPAGE_ASSERT_OK(Parse({"export", "-h"}));
  EXPECT_THAT(text_, HasSubstr("--format=onnx|hdf5  (default: onnx)"));
}

TEST_F(CommandLineTest, LongHelpIsWrapped) {
  program_.verbs[1].flags[0].help =
      "a long text that goes on and on, until it no longer fits on one line "
      "of a terminal and is broken between its words";
  PROTOPAGE_ASSERT_OK(Parse({"export", "--help"}));
  EXPECT_THAT(text_, HasSubstr("      a long text that goes on and on, until "
                               "it no longer fits on one line of a\n"
                               "      terminal and is broken"));
}

TEST_F(CommandLineTest, Version) {
  PROTOPAGE_ASSERT_OK(Parse({"--version"}));
  EXPECT_EQ(text_, "protopage 1.2\n");
}

TEST_F(CommandLineTest, AProgramWithoutVerbs) {
  std::string data_dir;
  const CommandProgram program = {.name = "cifar",
                                  .summary = "The demo's experiment.",
                                  .version = "1.2",
                                  .verbs = {{.name = "",
                                             .flags = {{.name = "data_dir",
                                                        .value = &data_dir,
                                                        .help = "CIFAR's binaries",
                                                        .required = true}}}}};
  PROTOPAGE_ASSERT_OK(ParseCommandLine(program, {"--data_dir=/data"}));
  EXPECT_EQ(data_dir, "/data");
  EXPECT_THAT(ParseCommandLine(program, {}), StatusIs(absl::StatusCode::kInvalidArgument,
                                                      "needs --data_dir=TEXT (CIFAR's binaries)"));
  EXPECT_THAT(
      ParseCommandLine(program, {"--data-dir=/data"}),
      StatusIs(absl::StatusCode::kInvalidArgument, "did you mean --data_dir? (see cifar --help)"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ParsedCommand help, ParseCommandLine(program, {"--help"}));
  EXPECT_THAT(help.text, HasSubstr("The demo's experiment."));
  EXPECT_THAT(help.text, HasSubstr("Usage: cifar --data_dir=TEXT\n"));
}

TEST_F(CommandLineTest, PathsStartWhereTheUserStands) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada", 1);
  EXPECT_EQ(ResolveUserPath("a/b.json"), "/home/ada/a/b.json");
  EXPECT_EQ(ResolveUserPath("/etc/a.json"), "/etc/a.json");
  EXPECT_EQ(ResolveUserPath(""), "");
  PROTOPAGE_ASSERT_OK(Parse({"train", "--config=a.json", "--set=x=a.json"}));
  EXPECT_EQ(config_, "/home/ada/a.json");
  EXPECT_THAT(set_, ElementsAre("x=a.json"));
  unsetenv("BUILD_WORKING_DIRECTORY");
  EXPECT_EQ(ResolveUserPath("a/b.json"), "a/b.json");
}

TEST_F(CommandLineTest, RunReturnsTheExitStatusAndLogsTheError) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunCommandLine(program_, {"train", "--config=a"}), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  result_ = absl::NotFoundError("open a: No such file or directory");
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunCommandLine(program_, {"train", "--config=a"}), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "protopage: error: open a: No such file or directory\n");
  result_ = absl::CancelledError("interrupted; --resume goes on");
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunCommandLine(program_, {"train", "--config=a"}), 3);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("error")));
  EXPECT_EQ(runs_, 3);
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunCommandLine(program_, {"train"}), 2);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("--config"));
  EXPECT_EQ(runs_, 3);
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunCommandLine(program_, {"--version"}), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "protopage 1.2\n");
}

TEST(ExitStatusTest, TheContract) {
  EXPECT_EQ(ExitStatus(absl::OkStatus()), 0);
  EXPECT_EQ(ExitStatus(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitStatus(absl::CancelledError("")), 3);
  EXPECT_EQ(ExitStatus(absl::DataLossError("")), 1);
  EXPECT_EQ(ExitStatus(absl::NotFoundError("")), 1);
  EXPECT_EQ(ExitStatus(absl::UnknownError("")), 1);
}

absl::Status Train(const std::string& config, bool resume) {
  return absl::InternalError(resume ? config : "from the beginning");
}

int ExampleMain(int argc, const char** argv) {
  std::string config;
  bool resume = false;
  CommandVerb train;
  train.name = "train";
  train.summary = "Trains as a config says.";
  train.flags = {{.name = "config", .value = &config, .help = "the config", .required = true},
                 {.name = "resume", .value = &resume, .help = "goes on from a checkpoint"}};
  train.run = [&] { return Train(config, resume); };
  const CommandProgram program = {.name = "protopage", .version = "1.0", .verbs = {train}};
  return RunCommandLine(program, {argv + 1, argv + argc});
}

TEST_F(CommandLineTest, TheExampleOfTheHeader) {
  const char* arguments[] = {"protopage", "train", "--config=a.json", "--resume"};
  testing::internal::CaptureStderr();
  EXPECT_EQ(ExampleMain(4, arguments), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("a.json"));
}

}  // namespace
}  // namespace protopage
