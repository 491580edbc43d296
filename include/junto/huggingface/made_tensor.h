// Made tensors: tensors of a GGUF file that are made of others, and the making of any part of one.
#ifndef JUNTO_HUGGINGFACE_MADE_TENSOR_H_
#define JUNTO_HUGGINGFACE_MADE_TENSOR_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "junto/base/checked.h"
#include "junto/base/math.h"
#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/huggingface/shards.h"
#include "junto/quant/block_types.h"
#include "junto/quant/half.h"

namespace junto {
namespace hf {

// Where things lie that are counted: the digits of a number, of which the last changes fastest,
// each times its step. Every order of rows and columns that a converter makes is one of these.
struct Places {
  uint64_t sizes[3] = {1, 1, 1};
  uint64_t steps[3] = {0, 0, 1};

  uint64_t At(uint64_t i) const {
    return i / sizes[2] / sizes[1] * steps[0] + i / sizes[2] % sizes[1] * steps[1] +
           i % sizes[2] * steps[2];
  }
  // How many follow `i` at the last step, itself included.
  uint64_t Run(uint64_t i) const { return sizes[2] - i % sizes[2]; }
  bool Count(uint64_t* count) const {
    return CheckedMul(sizes[0], sizes[1], count) && CheckedMul(*count, sizes[2], count);
  }
  // The furthest place; false when it is no number.
  bool Last(uint64_t* last) const {
    *last = 0;
    for (int i = 0; i < 3; ++i) {
      uint64_t part = 0;
      if (!CheckedMul(sizes[i] - 1, steps[i], &part) || !CheckedAdd(*last, part, last))
        return false;
    }
    return true;
  }
};

inline Places InOrder(uint64_t count, uint64_t step) { return {{1, 1, count}, {0, 0, step}}; }

// What happens to a unit on its way: an element, or a block of MXFP4.
enum class Making : uint8_t {
  kCopy2,   // F16 and BF16
  kCopy4,   // F32
  kAddOne,  // 1 + w, in F32
  kSlope,   // -exp(w), in F32
  kMxfp4,   // 16 bytes of pairs in the order of their weights, and a scale, to a block
  kFp8,     // E4M3, times the scale of its 128 rows and columns, in F32
};

struct MakingInfo {
  uint32_t from;  // bytes of a unit; of kAddOne and kSlope what the source has
  uint32_t to;
};
constexpr MakingInfo kMakings[] = {{2, 2}, {4, 4}, {0, 4}, {0, 4}, {16, 17}, {1, 4}};
constexpr uint64_t kScaleBlock = 128;  // rows and columns of kFp8 that share a scale

// Consecutive rows of a made tensor that lie in one source.
struct Piece {
  const SourceTensor* source = nullptr;
  const SourceTensor* scales = nullptr;  // kMxfp4, kFp8
  uint64_t first_row = 0;                // of the made tensor
  uint64_t begin = 0;                    // units of the source
  Places rows;                           // from there
};

struct MadeTensor {
  static constexpr size_t kMaxName = 64;

  char name[kMaxName] = "";
  BlockType type = BlockType::kF32;
  Making making = Making::kCopy4;
  uint32_t rank = 0;
  uint64_t dims[4] = {1, 1, 1, 1};  // elements, the fastest-varying first
  uint64_t offset = 0;              // from the beginning of the data
  uint64_t bytes = 0;
  uint64_t units = 0;             // of a row
  Places columns;                 // units of a row, from its place
  size_t pieces = 0;              // the first one of a common table
  size_t piece_count = 0;         // in order of rows; 0: the numbers are not in any file
  const float* values = nullptr;  // then they are here
};

// E4M3 without infinities: 127 and 255 are NaN.
inline float FloatFromE4M3(uint8_t code) {
  const uint32_t exponent = code >> 3 & 15;
  const uint32_t mantissa = code & 7;
  const uint32_t sign = static_cast<uint32_t>(code & 0x80) << 24;
  if ((code & 0x7F) == 0x7F) return FloatFromBits(sign | 0x7FC00000);
  if (exponent != 0) return FloatFromBits(sign | (exponent + 120) << 23 | mantissa << 20);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
  return sign != 0 ? -magnitude : magnitude;
}

// Reads parts of made tensors. Holds no memory but a little of the stack; any thread.
class Maker {
 public:
  Maker(const Shards* shards, Span<const Piece> pieces) : shards_(shards), pieces_(pieces) {}

  // Bytes [offset, offset + size) of the tensor, which the caller knows to be there. E_IO.
  Status Read(const MadeTensor& tensor, uint64_t offset, uint8_t* dst, uint64_t size) const {
    const uint64_t unit = kMakings[static_cast<int>(tensor.making)].to;
    while (size != 0) {
      const uint64_t within = offset % unit;
      uint64_t now = size / unit * unit;
      if (within == 0 && now != 0) {
        JUNTO_TRY(ReadUnits(tensor, offset / unit, now / unit, dst));
      } else {
        uint8_t one[17];
        now = std::min(size, unit - within);
        JUNTO_TRY(ReadUnits(tensor, offset / unit, 1, one));
        std::memcpy(dst, one + within, static_cast<size_t>(now));
      }
      offset += now;
      dst += now;
      size -= now;
    }
    return Status();
  }

  // Where bytes of the tensor lie one after the other in a source as they are: the source and the
  // offset in it. nullptr where they do not.
  const SourceTensor* Find(const MadeTensor& tensor, uint64_t offset, uint64_t size,
                           uint64_t* at) const {
    if (tensor.making > Making::kCopy4 || tensor.piece_count == 0 || size == 0) return nullptr;
    const uint64_t unit = kMakings[static_cast<int>(tensor.making)].to;
    const Run first = FindRun(tensor, offset / unit);
    const uint64_t bytes = first.count * unit - offset % unit;
    if (first.step != 1 || size > bytes) return nullptr;
    *at = first.place * unit + offset % unit;
    return first.piece->source;
  }

 private:
  static constexpr uint64_t kBuffer = 8192;

  // Units that lie at one step in a source.
  struct Run {
    const Piece* piece;
    uint64_t place;
    uint64_t step;
    uint64_t count;
  };

  const Piece& PieceOf(const MadeTensor& tensor, uint64_t row) const {
    const Piece* const begin = pieces_.data() + tensor.pieces;
    return *std::prev(std::upper_bound(
        begin, begin + tensor.piece_count, row,
        [](uint64_t wanted, const Piece& piece) { return wanted < piece.first_row; }));
  }

  Run FindRun(const MadeTensor& tensor, uint64_t unit) const {
    const uint64_t row = unit / tensor.units;
    const uint64_t column = unit % tensor.units;
    const Piece& piece = PieceOf(tensor, row);
    const uint64_t local = row - piece.first_row;
    Run run = {&piece, piece.begin + piece.rows.At(local) + tensor.columns.At(column),
               tensor.columns.steps[2], tensor.columns.Run(column)};
    // Rows that follow each other go together.
    if (run.step == 1 && run.count == tensor.units - column &&
        tensor.columns.sizes[2] == tensor.units && piece.rows.steps[2] == tensor.units) {
      run.count += (piece.rows.Run(local) - 1) * tensor.units;
    }
    return run;
  }

  Status ReadUnits(const MadeTensor& tensor, uint64_t first, uint64_t count, uint8_t* dst) const {
    const uint64_t unit = kMakings[static_cast<int>(tensor.making)].to;
    if (tensor.piece_count == 0) {
      std::memcpy(dst, tensor.values + first, static_cast<size_t>(count * unit));
      return Status();
    }
    while (count != 0) {
      uint64_t done = 0;
      if (first % tensor.units == 0 && count >= tensor.units) {
        JUNTO_TRY(ReadTransposed(tensor, first / tensor.units, count / tensor.units, dst, &done));
      }
      if (done == 0) {
        Run run = FindRun(tensor, first);
        run.count = done = std::min(run.count, count);
        JUNTO_TRY(Gather(tensor, run, unit, dst));
      }
      first += done;
      dst += done * unit;
      count -= done;
    }
    return Status();
  }

  // Whole rows of a tensor whose columns lie further apart than its rows: column after column.
  // `*done` stays 0 for others.
  Status ReadTransposed(const MadeTensor& tensor, uint64_t row, uint64_t rows, uint8_t* dst,
                        uint64_t* done) const {
    const Piece& piece = PieceOf(tensor, row);
    if (piece.rows.steps[2] >= tensor.columns.steps[2]) return Status();
    const uint64_t unit = kMakings[static_cast<int>(tensor.making)].to;
    const uint64_t local = row - piece.first_row;
    Run run = {&piece, 0, piece.rows.steps[2], std::min(rows, piece.rows.Run(local))};
    for (uint64_t column = 0; column < tensor.units; ++column) {
      run.place = piece.begin + piece.rows.At(local) + tensor.columns.At(column);
      JUNTO_TRY(Gather(tensor, run, tensor.units * unit, dst + column * unit));
    }
    *done = run.count * tensor.units;
    return Status();
  }

  // The units of a run, `stride` bytes apart in `dst`.
  Status Gather(const MadeTensor& tensor, const Run& run, uint64_t stride, uint8_t* dst) const {
    const SourceTensor& source = *run.piece->source;
    const uint64_t to = kMakings[static_cast<int>(tensor.making)].to;
    switch (tensor.making) {
      case Making::kCopy2:
      case Making::kCopy4:
        if (run.step == 1 && stride == to) {
          return shards_->Read(source, run.place * to, dst, run.count * to);
        }
        return Each(run, to, [&](uint64_t i, const uint8_t* unit) {
          std::memcpy(dst + i * stride, unit, static_cast<size_t>(to));
        });
      case Making::kAddOne:
      case Making::kSlope:
        return Each(run, source.dtype->bits / 8, [&](uint64_t i, const uint8_t* unit) {
          const float w = Widen(source.dtype->dtype, unit);
          const float made =
              tensor.making == Making::kAddOne
                  ? w + 1.0f
                  : static_cast<float>(-ExactExp(std::min(std::max(w, -600.0f), 600.0f)));
          std::memcpy(dst + i * stride, &made, sizeof(made));
        });
      case Making::kMxfp4:
        return ReadMxfp4(run, dst);
      case Making::kFp8:
        return ReadFp8(run, dst);
    }
    return Status();
  }

  // Calls f(index, unit) for the units of `size` bytes of a run.
  template <class F>
  Status Each(const Run& run, uint64_t size, F&& f) const {
    uint8_t buffer[kBuffer];
    const uint64_t step = std::max<uint64_t>(run.step, 1);
    const uint64_t most = std::max<uint64_t>(kBuffer / size / step, 1);
    for (uint64_t i = 0; i < run.count;) {
      const uint64_t now = std::min(run.count - i, most);
      const uint64_t place = run.place + i * run.step;
      JUNTO_TRY(shards_->Read(*run.piece->source, place * size, buffer,
                              ((now - 1) * run.step + 1) * size));
      for (uint64_t k = 0; k < now; ++k) f(i + k, buffer + k * run.step * size);
      i += now;
    }
    return Status();
  }

  static float Widen(Dtype dtype, const uint8_t* unit) {
    uint32_t bits = 0;
    if (dtype != Dtype::kF32) {
      return dtype == Dtype::kF16 ? FloatFromHalf(LoadU16(unit)) : FloatFromBFloat16(LoadU16(unit));
    }
    std::memcpy(&bits, unit, sizeof(bits));
    return FloatFromBits(bits);
  }

  // A block: the scale, then pairs of weights 16 apart. The run has step 1.
  Status ReadMxfp4(const Run& run, uint8_t* dst) const {
    constexpr uint64_t kMost = kBuffer / 16;
    uint8_t pairs[kBuffer];
    uint8_t scales[kMost];
    for (uint64_t i = 0; i < run.count;) {
      const uint64_t now = std::min(run.count - i, kMost);
      JUNTO_TRY(shards_->Read(*run.piece->source, (run.place + i) * 16, pairs, now * 16));
      JUNTO_TRY(shards_->Read(*run.piece->scales, run.place + i, scales, now));
      for (uint64_t k = 0; k < now; ++k, dst += 17) {
        dst[0] = scales[k];
        const uint8_t* from = pairs + k * 16;
        for (uint32_t j = 0; j < 8; ++j) {
          dst[1 + 2 * j] = static_cast<uint8_t>((from[j] & 15) | (from[j + 8] & 15) << 4);
          dst[2 + 2 * j] = static_cast<uint8_t>(from[j] >> 4 | (from[j + 8] & 0xF0));
        }
      }
      i += now;
    }
    return Status();
  }

  // The run has step 1, and may cross rows of the source.
  Status ReadFp8(const Run& run, uint8_t* dst) const {
    uint8_t codes[kBuffer];
    float values[256];  // of each code
    for (int code = 0; code < 256; ++code) {
      values[code] = FloatFromE4M3(static_cast<uint8_t>(code));
    }
    float scales[kBuffer / kScaleBlock + 2];
    const SourceTensor& source = *run.piece->source;
    const uint64_t columns = source.dims[1];
    const uint64_t blocks = CeilDiv(columns, kScaleBlock);
    for (uint64_t i = 0; i < run.count;) {
      const uint64_t row = (run.place + i) / columns;
      const uint64_t column = (run.place + i) % columns;
      const uint64_t now = std::min({run.count - i, columns - column, kBuffer});
      const uint64_t block = column / kScaleBlock;
      const uint64_t last = (column + now - 1) / kScaleBlock;
      JUNTO_TRY(shards_->Read(source, run.place + i, codes, now));
      JUNTO_TRY(shards_->Read(*run.piece->scales,
                              (row / kScaleBlock * blocks + block) * sizeof(float), scales,
                              (last - block + 1) * sizeof(float)));
      for (uint64_t k = 0; k < now; ++k, dst += sizeof(float)) {
        const float made = values[codes[k]] * scales[(column + k) / kScaleBlock - block];
        std::memcpy(dst, &made, sizeof(made));
      }
      i += now;
    }
    return Status();
  }

  const Shards* shards_;
  Span<const Piece> pieces_;
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_MADE_TENSOR_H_
