// Rules: which tensor of a GGUF file is made of which of Hugging Face's, and in which order.
#ifndef JUNTO_HUGGINGFACE_RULES_H_
#define JUNTO_HUGGINGFACE_RULES_H_

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

namespace junto {
namespace hf {

// How the rows of a source, whose last dimension are columns, become those of a tensor. A vector's
// elements count as rows.
enum class View : uint8_t {
  kPlain,
  kExperts,       // one source for each expert, with its number in the place of '#'
  kEvenRows,      // of each expert
  kOddRows,       // the same
  kTranspose,     // rows and columns of each expert
  kEvenColumns,   // of each expert, which become its rows
  kOddColumns,    // the same
  kQueryPairs,    // of each head the elements that turn together become neighbours
  kKeyPairs,      // the same for the heads of keys
  kValueHeads,    // neighbours among value heads become every so many: [key head][share] to
  kValueUnits,    // [share][key head]; the same for vectors, and for columns
  kValueColumns,  //
  kChannels,      // queries, keys, then values as in kValueHeads; a middle dimension of 1 vanishes
  kChannelsOfKeyHeads,  // the source has of each key head a query, a key, values and their gates
  kGatesOfKeyHeads,     // the same
};

enum class Change : uint8_t { kNone, kAddOne, kSlope };  // see Making

// "blk.N." and "model.layers.N." come before the names of a layer's tensors. A rule whose source is
// not there makes nothing; what must be there the family says when it binds its tensors.
struct Rule {
  const char* ours;
  const char* theirs;
  View view = View::kPlain;
  Change change = Change::kNone;
};

// What the views must know of a model.
struct Shapes {
  uint32_t layers = 0;
  uint32_t experts = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t key_heads = 0;  // of delta-nets
  uint32_t value_heads = 0;
  uint32_t key_dim = 0;
  uint32_t value_dim = 0;
  bool tiled = false;  // value heads are
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

  // A source as rows of units.
  struct Matrix {
    uint64_t groups = 1;  // the slowest of three dimensions
    uint64_t rows = 1;    // of each group
    uint64_t columns = 1;
    uint32_t rank = 0;
  };

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
      return Shards::Error(Code::kUnsupported, *source,
                           "dtype %.*s of %u bits, which has no use "
                           "here",
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
                          Matrix* matrix) {
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
    Matrix matrix;
    JUNTO_TRY(ReadShape(rule, *source, making, &matrix));
    source->used = true;
    MadeTensor one;
    std::memcpy(one.name, made->name, sizeof(one.name));
    one.pieces = pieces_.size();
    one.making = making;
    one.type = TypeOf(making, *source);
    Arrange(rule.view, matrix, *source, scales, &one);
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
      return Shards::Error(Code::kFormat, *source,
                           "expert %u is not of the shape and type of the "
                           "first",
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

  // Dimensions, columns and pieces of one source under a view. What does not fit to the shapes is
  // arranged all the same, and refused by CheckInside or when the tensor is bound.
  void Arrange(View view, const Matrix& from, const SourceTensor& source,
               const SourceTensor* scales, MadeTensor* made) {
    const uint64_t columns = from.columns;
    const uint64_t all = from.groups * from.rows;
    uint64_t dims[3] = {columns, from.rows, from.groups};
    made->rank = std::max(from.rank, 1u);
    made->columns = InOrder(columns, 1);
    const auto add = [&](uint64_t begin, const Places& rows) {
      const uint64_t before = made->piece_count == 0 ? 0 : RowsEnd();
      pieces_.push_back({&source, scales, before, begin, rows});
      ++made->piece_count;
    };
    const bool vector = from.rank < 2;
    const auto by = [&](const Places& rows) {  // rows of one order, or the elements of a vector
      if (vector) {
        made->columns = rows;
        add(0, InOrder(1, columns));
      } else {
        add(0, Apart(rows, columns));
      }
    };
    const uint64_t counted = vector ? columns : all;
    switch (view) {
      case View::kPlain:
      case View::kExperts:
        add(0, InOrder(all, columns));
        break;
      case View::kEvenRows:
      case View::kOddRows:
        dims[1] = from.rows / 2;
        add(view == View::kOddRows ? columns : 0,
            {{1, from.groups, dims[1]}, {0, from.rows * columns, 2 * columns}});
        break;
      case View::kTranspose:
        ArrangeColumns(from, 1, 0, dims, add, made);
        break;
      case View::kEvenColumns:
      case View::kOddColumns:
        ArrangeColumns(from, 2, view == View::kOddColumns ? 1 : 0, dims, add, made);
        break;
      case View::kQueryPairs:
        by(Pairs(counted, shapes_.heads));
        break;
      case View::kKeyPairs:
        by(Pairs(counted, shapes_.kv_heads));
        break;
      case View::kValueHeads:
        by(ValueHeads(shapes_.value_dim));
        break;
      case View::kValueUnits:
        by(ValueHeads(1));
        break;
      case View::kValueColumns:
        made->columns = ValueHeads(shapes_.value_dim);
        add(0, InOrder(all, columns));
        break;
      case View::kChannels: {
        const uint64_t keys = uint64_t{2} * shapes_.key_heads * shapes_.key_dim;
        add(0, InOrder(keys, columns));
        add(keys * columns, Apart(ValueHeads(shapes_.value_dim), columns));
        break;
      }
      case View::kChannelsOfKeyHeads:
      case View::kGatesOfKeyHeads:
        dims[1] = ArrangeKeyHeads(view, columns, add);
        break;
    }
    made->units = dims[0];
    made->dims[0] = made->making == Making::kMxfp4 ? dims[0] * 32 : dims[0];
    for (int i = 1; i < 3; ++i) made->dims[i] = dims[i];
  }

  // Every `step`th column becomes a row; of a matrix rows are experts, which have a vector each.
  template <class Add>
  static void ArrangeColumns(const Matrix& from, uint64_t step, uint64_t first, uint64_t* dims,
                             const Add& add, MadeTensor* made) {
    const uint64_t rows = from.columns / step;
    if (from.rank < 3) {
      dims[0] = rows;
      made->columns = InOrder(rows, step);
      add(first, InOrder(from.rows, from.columns));
      return;
    }
    dims[0] = from.rows;
    dims[1] = rows;
    made->columns = InOrder(from.rows, from.columns);
    add(first, {{1, from.groups, rows}, {0, from.rows * from.columns, step}});
  }

  // The same with every step so many times as long.
  static Places Apart(Places places, uint64_t times) {
    for (uint64_t& step : places.steps) step *= times;
    return places;
  }

  // Of a head's two halves, one element of each in turn.
  static Places Pairs(uint64_t rows, uint32_t heads) {
    const uint64_t dim = rows / std::max(heads, 1u);
    return {{heads, dim / 2, 2}, {dim, 1, dim / 2}};
  }

  Places ValueHeads(uint64_t width) const {
    const uint64_t key_heads = std::max(shapes_.key_heads, 1u);
    const uint64_t share = shapes_.value_heads / key_heads;
    if (!shapes_.tiled) return InOrder(shapes_.value_heads * width, 1);
    return {{share, key_heads, width}, {width, share * width, 1}};
  }

  // All queries, all keys, all values; or the gates of all values. Returns their rows.
  template <class Add>
  uint64_t ArrangeKeyHeads(View view, uint64_t columns, const Add& add) const {
    const uint64_t heads = std::max(shapes_.key_heads, 1u);
    const uint64_t keys = shapes_.key_dim;
    const uint64_t values = shapes_.value_heads / heads * shapes_.value_dim;
    const uint64_t step = 2 * (keys + values) * columns;
    const auto part = [&](uint64_t begin, uint64_t rows) {
      add(begin * columns, {{1, heads, rows}, {0, step, columns}});
    };
    if (view == View::kGatesOfKeyHeads) {
      part(2 * keys + values, values);
      return heads * values;
    }
    part(0, keys);
    part(keys, keys);
    part(2 * keys, values);
    return heads * (2 * keys + values);
  }

  uint64_t RowsEnd() const {
    const Piece& last = pieces_.back();
    return last.first_row + last.rows.sizes[0] * last.rows.sizes[1] * last.rows.sizes[2];
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
