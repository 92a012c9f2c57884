#include "protopage/trainer/observers/tensorboard_writer.h"

#include <unistd.h>

#include <cstring>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::Pair;
using testing::SizeIs;

// The fields of a message by number; several of one number in order. Fixed
// numbers are kept as their bytes, varints as 8 bytes.
using Message = std::multimap<uint64_t, std::string>;

class Decoder {
 public:
  explicit Decoder(absl::string_view data) : data_(data) {}

  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !data_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(data_[0]);
      data_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    ADD_FAILURE() << "a varint without an end";
    return value;
  }

  std::string Take(size_t size) {
    EXPECT_LE(size, data_.size());
    const std::string bytes(data_.substr(0, size));
    data_.remove_prefix(bytes.size());
    return bytes;
  }

  Message Fields() {
    Message message;
    while (!data_.empty() && !testing::Test::HasFailure()) {
      const uint64_t key = Varint();
      const uint64_t type = key & 7;
      std::string bytes;
      if (type == 0) {
        const uint64_t value = Varint();
        bytes.assign(reinterpret_cast<const char*>(&value), sizeof(value));
      } else if (type == 1 || type == 5) {
        bytes = Take(type == 1 ? 8 : 4);
      } else {
        EXPECT_EQ(type, 2);
        bytes = Take(Varint());
      }
      message.emplace(key >> 3, bytes);
    }
    return message;
  }

 private:
  absl::string_view data_;
};

template <typename T>
T Number(const std::string& bytes) {
  T value{};
  EXPECT_EQ(bytes.size(), sizeof(T));
  if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

std::string Field(const Message& message, uint64_t number) {
  EXPECT_EQ(message.count(number), 1) << "field " << number;
  const auto found = message.find(number);
  return found == message.end() ? "" : found->second;
}

uint32_t Unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

// The records of a TFRecord file, checksums verified.
std::vector<Message> ReadEvents(const std::string& path) {
  std::vector<Message> events;
  const absl::StatusOr<std::string> content = ReadFile(DefaultFileSystem(), path);
  PROTOPAGE_EXPECT_OK(content);
  if (!content.ok()) return events;
  Decoder decoder(*content);
  size_t used = 0;
  while (used < content->size() && !testing::Test::HasFailure()) {
    const std::string length = decoder.Take(8);
    EXPECT_EQ(Unmask(Number<uint32_t>(decoder.Take(4))), Crc32c(length));
    const std::string data = decoder.Take(Number<uint64_t>(length));
    EXPECT_EQ(Unmask(Number<uint32_t>(decoder.Take(4))), Crc32c(data));
    events.push_back(Decoder(data).Fields());
    used += 8 + 4 + data.size() + 4;
  }
  return events;
}

std::vector<std::pair<std::string, float>> Values(const Message& event) {
  std::vector<std::pair<std::string, float>> values;
  for (const auto& field : Decoder(Field(event, 5)).Fields()) {
    EXPECT_EQ(field.first, 1);
    const Message value = Decoder(field.second).Fields();
    values.emplace_back(Field(value, 1), Number<float>(Field(value, 2)));
  }
  return values;
}

class TensorBoardWriterTest : public testing::Test {
 protected:
  TensorBoardWriterTest() {
    directory_ = JoinPath(
        testing::TempDir(),
        absl::StrCat(testing::UnitTest::GetInstance()->current_test_info()->name(), ".", getpid()));
    PROTOPAGE_EXPECT_OK(fs_->CreateDirectories(directory_));
  }

  std::vector<std::string> Files() {
    const auto names = fs_->List(directory_);
    PROTOPAGE_EXPECT_OK(names);
    return names.value_or(std::vector<std::string>());
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string directory_;
};

// Check values of RFC 3720, B.4, and of the CRC catalogue.
TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST_F(TensorBoardWriterTest, TheFirstRecordByteForByte) {
  PROTOPAGE_ASSERT_OK(TensorBoardWriter::Create(fs_, directory_, 0, [] { return 1.5; }));
  const std::vector<std::string> files = Files();
  ASSERT_THAT(files, SizeIs(1));
  EXPECT_TRUE(absl::StartsWith(files[0], "events.out.tfevents.0000000001.")) << files[0];
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content,
                                 ReadFile(fs_, JoinPath(directory_, files[0])));
  // Length 24 and its checksum; wall_time 1.5; file_version; checksum.
  ASSERT_EQ(content.size(), 8 + 4 + 24 + 4);
  EXPECT_EQ(content.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(content.substr(12, 24), std::string("\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0d"
                                                "brain.Event:2",
                                                24));
}

TEST_F(TensorBoardWriterTest, StepsAndEvaluationsAreScalars) {
  double now = 1000;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto writer, TensorBoardWriter::Create(fs_, directory_, 0, [&] { return now; }));
  now = 1001.25;
  StepReport step;
  step.step = 300;
  step.epoch = 2;
  step.loss = 3.5;
  step.accuracy = 0.1;
  PROTOPAGE_ASSERT_OK(writer->OnStep(step));
  EvaluationReport evaluation;
  evaluation.step = int64_t{5} << 32;
  evaluation.scalars = {{"closed_set/top1", 0.574}};
  PROTOPAGE_ASSERT_OK(writer->OnEvaluation(evaluation));

  const auto events = ReadEvents(JoinPath(directory_, Files()[0]));
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(Field(events[0], 3), "brain.Event:2");
  EXPECT_EQ(Number<double>(Field(events[0], 1)), 1000);
  EXPECT_EQ(Number<double>(Field(events[1], 1)), 1001.25);
  EXPECT_EQ(Number<int64_t>(Field(events[1], 2)), 300);
  EXPECT_THAT(Values(events[1]),
              ElementsAre(Pair("train/loss", 3.5f), Pair("train/accuracy", 0.1f),
                          Pair("train/rows_paged", 0.0f), Pair("train/skipped_steps", 0.0f),
                          Pair("train/epoch", 2.0f)));
  EXPECT_EQ(Number<int64_t>(Field(events[2], 2)), int64_t{5} << 32);
  EXPECT_THAT(Values(events[2]), ElementsAre(Pair("closed_set/top1", FloatEq(0.574f))));
}

TEST_F(TensorBoardWriterTest, AResumedRunTellsWhatToDrop) {
  PROTOPAGE_ASSERT_OK(TensorBoardWriter::Create(fs_, directory_, 0, [] { return 7.0; }));
  PROTOPAGE_ASSERT_OK(TensorBoardWriter::Create(fs_, directory_, 41, [] { return 7.0; }));
  const std::vector<std::string> files = Files();
  ASSERT_THAT(files, SizeIs(2));  // Two of one second are two files.
  const auto events = ReadEvents(JoinPath(directory_, files[1]));
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(Number<int64_t>(Field(events[1], 2)), 42);
  const Message session_log = Decoder(Field(events[1], 7)).Fields();
  EXPECT_EQ(Number<int64_t>(Field(session_log, 1)), 1);  // START.
}

TEST_F(TensorBoardWriterTest, AMissingFolderIsAnError) {
  EXPECT_THAT(TensorBoardWriter::Create(fs_, JoinPath(directory_, "missing"), 0),
              StatusIs(absl::StatusCode::kNotFound, "missing/events.out.tfevents."));
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto board, TensorBoardWriter::Create(fs, "run", 0));
  PROTOPAGE_RETURN_IF_ERROR(board->OnStep({.stage = "source", .step = 100}));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
