// Rules: which tensor of a GGUF file is made of which of Hugging Face's, and in which order.
#ifndef JUNTO_HUGGINGFACE_RULES_H_
#define JUNTO_HUGGINGFACE_RULES_H_

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "junto/base/checked.h"
#include "junto/base/memory.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/huggingface/made_tensor.h"
#include "junto/huggingface/shards.h"
#include "junto/huggingface/views.h"

namespace junto {
namespace hf {

enum class Change : uint8_t { kNone, kAddOne, kSlope };  // see Making

// "blk.N." and "model.layers.N." come before the names of a layer's tensors. A rule whose source is
// not there makes nothing; what must be there the family says when it binds its tensors.
struct Rule {
  const char* ours;
  const char* theirs;
  View view = View::kPlain;
  Change change = Change::kNone;
};

// Adds what rules make to a list.
class RuleBook {
 public:
  RuleBook(Shards* shards, const Shapes& shapes, Memory* memory)
      : shards_(shards),
        shapes_(shapes),
        tensors_({memory, Tag::kObject}),
        pieces_({memory, Tag::kObject}) {}

  // E_FORMAT and E_UNSUPPORTED name the source.
  Status Apply(const Rule& rule, const char* our_prefix, const char* their_prefix) {
    char theirs[kMaxName];
    const uint32_t sources = rule.view == View::kExperts ? shapes_.experts : 1;
    MadeTensor made;
    std::snprintf(made.name, sizeof(made.name), "%s%s", our_prefix, rule.ours);
    made.pieces = pieces_.size();
    for (uint32_t i = 0; i < sources; ++i) {
      Name(their_prefix, rule.theirs, i, theirs);
      SourceTensor* source = shards_->Find(theirs);
      if (source == nullptr) {
        if (i == 0) return Status();
        return Status::Make(Code::kFormat, "tensor '%s' is missing, of %u experts", theirs,
                            sources);
      }
      JUNTO_TRY(AddSource(rule, source, i, &made));
    }
    return Finish(&made);
  }

  // A tensor of numbers that no file has; they must outlive what is made.
  void AddValues(const char* name, Span<const float> values) {
    MadeTensor made;
    std::snprintf(made.name, sizeof(made.name), "%s", name);
    made.rank = 1;
    made.dims[0] = made.units = values.size();
    made.bytes = values.size() * sizeof(float);
    made.values = values.data();
    tensors_.push_back(made);
  }

  Vector<MadeTensor>* tensors() { return &tensors_; }
  Vector<Piece>* pieces() { return &pieces_; }

 private:
  static constexpr size_t kMaxName = 192;

  static unsigned long long Wide(uint64_t x) { return x; }

  // `theirs` with the expert's number, behind the prefix.
  static void Name(const char* prefix, const char* theirs, uint32_t expert, char* name) {
    const char* mark = std::strchr(theirs, '#');
    if (mark == nullptr) {
      std::snprintf(name, kMaxName, "%s%s", prefix, theirs);
    } else {
      std::snprintf(name, kMaxName, "%s%.*s%u%s", prefix, static_cast<int>(mark - theirs), theirs,
                    expert, mark + 1);
    }
  }

  // What becomes of the source's units, and the tensor that holds their scales.
  Status ChooseMaking(const Rule& rule, SourceTensor* source, Making* making,
                      const SourceTensor** scales) {
    const Dtype dtype = source->dtype->dtype;
    const bool wide = dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16;
    *scales = nullptr;
    if (rule.change != Change::kNone && wide) {
      *making = rule.change == Change::kAddOne ? Making::kAddOne : Making::kSlope;
      return Status();
    }
    if (wide) {
      *making = dtype == Dtype::kF32 ? Making::kCopy4 : Making::kCopy2;
      return Status();
    }
    constexpr std::string_view kBlocks = "_blocks";
    const bool blocks = source->name.size() > kBlocks.size() &&
                        source->name.substr(source->name.size() - kBlocks.size()) == kBlocks;
    const bool fp8 = dtype == Dtype::kF8E4M3;
    if (rule.change != Change::kNone || !(fp8 || (dtype == Dtype::kU8 && blocks))) {
      return Shards::Error(Code::kUnsupported, *source, "dtype %.*s of %u bits has no use here",
                           static_cast<int>(source->dtype->name.size()), source->dtype->name.data(),
                           source->dtype->bits);
    }
    *making = fp8 ? Making::kFp8 : Making::kMxfp4;
    return fp8 ? FindScales(source, source->name, "_scale_inv", scales)
               : FindScales(source, source->name.substr(0, source->name.size() - kBlocks.size()),
                            "_scales", scales);
  }

  Status FindScales(const SourceTensor* source, std::string_view stem, const char* suffix,
                    const SourceTensor** scales) {
    char name[kMaxName];
    std::snprintf(name, sizeof(name), "%.*s%s", static_cast<int>(stem.size()), stem.data(), suffix);
    SourceTensor* found = shards_->Find(name);
    if (found == nullptr) {
      return Shards::Error(Code::kFormat, *source, "%llu bytes without '...%s'",
                           Wide(source->bytes), suffix);
    }
    found->used = true;
    *scales = found;
    return CheckScales(*source, *found);
  }

  // One scale for each unit, or for each 128 rows and columns.
  static Status CheckScales(const SourceTensor& source, const SourceTensor& scales) {
    const bool fp8 = source.dtype->dtype == Dtype::kF8E4M3;
    bool fits = scales.dtype->dtype == (fp8 ? Dtype::kF32 : Dtype::kU8);
    if (fp8) {
      fits = fits && source.rank == 2 && scales.rank == 2;
      for (uint32_t i = 0; fits && i < 2; ++i) {
        fits = scales.dims[i] == CeilDiv(source.dims[i], kScaleBlock);
      }
    } else {
      fits = fits && source.rank >= 2 && scales.rank == source.rank - 1;
      for (uint32_t i = 0; fits && i < scales.rank; ++i) fits = scales.dims[i] == source.dims[i];
    }
    if (fits) return Status();
    return Shards::Error(Code::kUnsupported, scales,
                         "%llu scales of type %.*s and %u dimensions do not fit to %llu bytes",
                         Wide(scales.elements), static_cast<int>(scales.dtype->name.size()),
                         scales.dtype->name.data(), scales.rank, Wide(source.bytes));
  }

  static Status ReadShape(const Rule& rule, const SourceTensor& source, Making making,
                          SourceMatrix* matrix) {
    uint64_t dims[SourceTensor::kMaxRank] = {};
    uint32_t rank = source.rank;
    for (uint32_t i = 0; i < rank; ++i) dims[i] = source.dims[i];
    const bool blocks = making == Making::kMxfp4;
    if (blocks && dims[rank - 1] == 16) --rank;
    if (rule.view == View::kChannels && rank == 3 && dims[1] == 1) {
      dims[1] = dims[2];
      rank = 2;
    }
    if (source.elements == 0 || rank > 3 || (blocks && rank == source.rank)) {
      return Shards::Error(Code::kUnsupported, source, "shape of %u dimensions and %llu elements",
                           source.rank, Wide(source.elements));
    }
    matrix->rank = rank;
    if (rank >= 1) matrix->columns = dims[rank - 1];
    if (rank >= 2) matrix->rows = dims[rank - 2];
    if (rank == 3) matrix->groups = dims[0];
    return Status();
  }

  // One source of a tensor, the first or another of the same shape.
  Status AddSource(const Rule& rule, SourceTensor* source, uint32_t index, MadeTensor* made) {
    Making making = Making::kCopy4;
    const SourceTensor* scales = nullptr;
    JUNTO_TRY(ChooseMaking(rule, source, &making, &scales));
    SourceMatrix matrix;
    JUNTO_TRY(ReadShape(rule, *source, making, &matrix));
    source->used = true;
    MadeTensor one;
    std::memcpy(one.name, made->name, sizeof(one.name));
    one.pieces = pieces_.size();
    one.making = making;
    one.type = TypeOf(making, *source);
    const Arrangement arrangement = Arranger(matrix, shapes_).Arrange(rule.view);
    const bool blocks = making == Making::kFp8 || making == Making::kMxfp4;
    if (blocks && arrangement.columns.steps[2] != 1) {
      return Shards::Error(Code::kUnsupported, *source, "columns %llu apart, but blocks hold 1",
                           Wide(arrangement.columns.steps[2]));
    }
    Take(arrangement, matrix, source, scales, &one);
    JUNTO_TRY(CheckInside(*source, one));
    if (rule.view != View::kExperts) {
      *made = one;
      return Status();
    }
    if (index == 0) {
      if (one.rank > 2) {
        return Shards::Error(Code::kUnsupported, *source, "%u dimensions of one expert", one.rank);
      }
      *made = one;
      made->rank = 3;
      made->dims[2] = shapes_.experts;
      made->piece_count = shapes_.experts;
      return Status();
    }
    if (one.type != made->type || one.making != made->making || one.dims[0] != made->dims[0] ||
        one.dims[1] != made->dims[1]) {
      return Shards::Error(Code::kFormat, *source, "expert %u has a shape or type of its own",
                           index);
    }
    pieces_.back().first_row = uint64_t{index} * made->dims[1];
    return Status();
  }

  static BlockType TypeOf(Making making, const SourceTensor& source) {
    if (making == Making::kMxfp4) return BlockType::kMXFP4;
    if (making != Making::kCopy2) return BlockType::kF32;
    return source.dtype->dtype == Dtype::kF16 ? BlockType::kF16 : BlockType::kBF16;
  }

  // Takes the arrangement of a source, its only one or that of an expert.
  void Take(const Arrangement& arrangement, const SourceMatrix& matrix, const SourceTensor* source,
            const SourceTensor* scales, MadeTensor* made) {
    made->rank = std::max(matrix.rank, 1u);
    made->units = arrangement.dims[0];
    for (int i = 0; i < 3; ++i) made->dims[i] = arrangement.dims[i];
    if (made->making == Making::kMxfp4) made->dims[0] *= 32;
    made->columns = arrangement.columns;
    uint64_t row = 0;
    for (uint32_t i = 0; i < arrangement.part_count; ++i) {
      const Arrangement::Part& part = arrangement.parts[i];
      pieces_.push_back({source, scales, row, part.begin, part.rows});
      row += part.rows.sizes[0] * part.rows.sizes[1] * part.rows.sizes[2];
    }
    made->piece_count = arrangement.part_count;
  }

  // That every unit is one of the source's, and that the rows of the pieces are those of the
  // tensor.
  Status CheckInside(const SourceTensor& source, const MadeTensor& made) const {
    const uint64_t units = made.making == Making::kMxfp4 ? source.elements / 16 : source.elements;
    uint64_t columns = 0;
    uint64_t last_column = 0;
    uint64_t rows = 0;
    uint64_t wanted_rows = 1;
    bool sound = made.columns.Count(&columns) && columns == made.units && columns != 0 &&
                 made.columns.Last(&last_column) &&
                 CheckedMul(made.dims[1], made.dims[2], &wanted_rows);
    for (size_t i = made.pieces; sound && i < pieces_.size(); ++i) {
      const Piece& piece = pieces_[i];
      uint64_t count = 0;
      uint64_t place = 0;
      sound = piece.rows.Count(&count) && count != 0 && piece.first_row == rows &&
              CheckedAdd(rows, count, &rows) && piece.rows.Last(&place) &&
              CheckedAdd(place, last_column, &place) && CheckedAdd(place, piece.begin, &place) &&
              place < units;
    }
    if (sound && rows == wanted_rows) return Status();
    return Shards::Error(Code::kFormat, source,
                         "%llu elements in %u dimensions do not fit to the configuration",
                         Wide(source.elements), source.rank);
  }

  Status Finish(MadeTensor* made) {
    if (made->piece_count == 0) return Status();  // of no experts
    uint64_t bytes = kMakings[static_cast<int>(made->making)].to;
    bool fits = CheckedMul(bytes, made->units, &bytes);
    for (int i = 1; i < 4; ++i) fits = fits && CheckedMul(bytes, made->dims[i], &bytes);
    if (!fits) {
      return Status::Make(Code::kFormat, "tensor '%s': %llu rows of %llu elements pass 64 bits",
                          made->name, Wide(made->dims[1]), Wide(made->dims[0]));
    }
    made->bytes = bytes;
    tensors_.push_back(*made);
    return Status();
  }

  Shards* shards_;
  Shapes shapes_;
  Vector<MadeTensor> tensors_;
  Vector<Piece> pieces_;
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_RULES_H_
