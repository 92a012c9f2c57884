#include "protopage/trainer/observers/tensorboard_writer.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// Events are protocol buffers, of which a scalar curve needs seven fields. They are encoded here by
// hand: that is shorter than the schema, and a dependency on protobuf would have to agree with the
// one of the workspace around us.
//
//   message Event {
//     double wall_time = 1;
//     int64 step = 2;
//     string file_version = 3;
//     Summary summary = 5;
//     SessionLog session_log = 7;
//   }
//   message Summary { repeated Value value = 1; }
//   message Value { string tag = 1; float simple_value = 2; }
//   message SessionLog { Status status = 1; }  // START = 1
//
// Wire format: a key (number << 3 | type), then a varint (type 0), 8 bytes (type 1), a length and
// bytes (type 2), or 4 bytes (type 5).

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) {
    out += static_cast<char>(0x80 | (value & 0x7f));
  }
  out += static_cast<char>(value);
}

void AppendVarintField(int number, uint64_t value, std::string& out) {
  AppendVarint(number << 3 | 0, out);
  AppendVarint(value, out);
}

void AppendBytesField(int number, absl::string_view bytes, std::string& out) {
  AppendVarint(number << 3 | 2, out);
  AppendVarint(bytes.size(), out);
  absl::StrAppend(&out, bytes);
}

// The bytes of a number; this code, like the format, is little-endian.
template <typename T>
void AppendRaw(T value, std::string& out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void AppendDoubleField(int number, double value, std::string& out) {
  AppendVarint(number << 3 | 1, out);
  AppendRaw(value, out);
}

void AppendFloatField(int number, float value, std::string& out) {
  AppendVarint(number << 3 | 5, out);
  AppendRaw(value, out);
}

// TFRecord stores checksums masked, so that the checksum of a record that holds records is not
// degenerate.
uint32_t MaskedCrc(absl::string_view data) {
  const uint32_t crc = Crc32c(data);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') {
    return "localhost";
  }
  return name;
}

double SecondsSince1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t Crc32c(absl::string_view data) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> remainders;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t remainder = byte;
      for (int bit = 0; bit < 8; ++bit) {
        // 0x82F63B78 is the polynomial 0x1EDC6F41 with its bits reversed.
        remainder = (remainder >> 1) ^ (remainder & 1 ? 0x82F63B78u : 0);
      }
      remainders[byte] = remainder;
    }
    return remainders;
  }();
  uint32_t crc = ~uint32_t{0};
  for (const char c : data) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  return ~crc;
}

absl::StatusOr<std::unique_ptr<TensorBoardWriter>> TensorBoardWriter::Create(
    FileSystem* fs, const std::string& directory, int64_t done_steps) {
  return Create(fs, directory, done_steps, SecondsSince1970);
}

absl::StatusOr<std::unique_ptr<TensorBoardWriter>> TensorBoardWriter::Create(
    FileSystem* fs, const std::string& directory, int64_t done_steps,
    std::function<double()> clock) {
  const std::string prefix =
      absl::StrFormat("events.out.tfevents.%010d.%s.%d.", static_cast<int64_t>(std::floor(clock())),
                      HostName(), getpid());
  // TensorBoard reads the files of a folder in the order of their names, so the time comes first;
  // the number tells apart files of one second.
  std::unique_ptr<File> file;
  for (int number = 0; file == nullptr; ++number) {
    absl::StatusOr<std::unique_ptr<File>> opened =
        fs->Open(JoinPath(directory, absl::StrCat(prefix, number)), OpenMode::kCreateExclusive);
    if (opened.ok()) {
      file = std::move(opened).value();
    } else if (!absl::IsAlreadyExists(opened.status())) {
      return opened.status();
    }
  }
  std::unique_ptr<TensorBoardWriter> writer(
      new TensorBoardWriter(std::move(file), std::move(clock)));
  std::string version;
  AppendBytesField(3, "brain.Event:2", version);
  PROTOPAGE_RETURN_IF_ERROR(writer->AppendEvent(version));
  if (done_steps > 0) {
    // At a START TensorBoard drops the points from this step on.
    std::string restart, session_log;
    AppendVarintField(1, 1, session_log);
    AppendVarintField(2, static_cast<uint64_t>(done_steps + 1), restart);
    AppendBytesField(7, session_log, restart);
    PROTOPAGE_RETURN_IF_ERROR(writer->AppendEvent(restart));
  }
  return writer;
}

absl::Status TensorBoardWriter::AppendEvent(absl::string_view fields) {
  std::string event;
  AppendDoubleField(1, clock_(), event);
  absl::StrAppend(&event, fields);

  // TFRecord: length, its checksum, data, its checksum.
  std::string length;
  AppendRaw(static_cast<uint64_t>(event.size()), length);
  std::string record = length;
  AppendRaw(MaskedCrc(length), record);
  absl::StrAppend(&record, event);
  AppendRaw(MaskedCrc(event), record);
  const int64_t size = static_cast<int64_t>(record.size());
  PROTOPAGE_RETURN_IF_ERROR(file_->WriteAt(size_, record.data(), size));
  size_ += size;
  return absl::OkStatus();
}

absl::Status TensorBoardWriter::AddScalars(
    int64_t step, absl::Span<const std::pair<std::string, double>> scalars) {
  std::string summary;
  for (const auto& scalar : scalars) {
    std::string value;
    AppendBytesField(1, scalar.first, value);
    AppendFloatField(2, static_cast<float>(scalar.second), value);
    AppendBytesField(1, value, summary);
  }
  std::string fields;
  AppendVarintField(2, static_cast<uint64_t>(step), fields);
  AppendBytesField(5, summary, fields);
  return AppendEvent(fields);
}

absl::Status TensorBoardWriter::OnStep(const StepReport& report) {
  std::vector<std::pair<std::string, double>> scalars = Scalars(report);
  for (auto& scalar : scalars) {
    scalar.first = absl::StrCat("train/", scalar.first);
  }
  scalars.emplace_back("train/epoch", static_cast<double>(report.epoch));
  return AddScalars(report.step, scalars);
}

absl::Status TensorBoardWriter::OnEvaluation(const EvaluationReport& report) {
  return AddScalars(report.step, report.scalars);
}

}  // namespace protopage
