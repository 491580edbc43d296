// Views: how the rows and columns of a tensor of Hugging Face become those of a GGUF file's.
#ifndef JUNTO_HUGGINGFACE_VIEWS_H_
#define JUNTO_HUGGINGFACE_VIEWS_H_

#include <algorithm>
#include <cstdint>

#include "junto/huggingface/made_tensor.h"

namespace junto {
namespace hf {

// The last dimension of a source are columns. A vector's elements count as rows.
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
  kValueHeads,    // value heads by [key head][share] come to be by [share][key head]
  kValueUnits,    // the same where a head has one row
  kValueColumns,  // the same for columns
  kChannels,      // queries, keys, then values as in kValueHeads; a middle dimension of 1 vanishes
  kChannelsOfKeyHeads,  // the source has of each key head a query, a key, values and their gates
  kGatesOfKeyHeads,     // the same
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

// A source as rows of units.
struct SourceMatrix {
  uint64_t groups = 1;  // the slowest of three dimensions
  uint64_t rows = 1;    // of each group
  uint64_t columns = 1;
  uint32_t rank = 0;  // at most 3
};

struct Arrangement {
  struct Part {
    uint64_t begin;  // units of the source
    Places rows;     // from there
  };
  uint64_t dims[3] = {1, 1, 1};  // units of a row, and so on
  Places columns;
  Part parts[3] = {};  // one after the other, they have all rows
  uint32_t part_count = 0;
};

// Arranges a source. What does not fit to the shapes gives places outside of it, or other rows than
// the dimensions say: whoever uses an arrangement checks both.
class Arranger {
 public:
  Arranger(const SourceMatrix& from, const Shapes& shapes) : from_(from), shapes_(shapes) {
    made_.dims[0] = from.columns;
    made_.dims[1] = from.rows;
    made_.dims[2] = from.groups;
    made_.columns = InOrder(from.columns, 1);
  }

  // Once.
  Arrangement Arrange(View view) {
    switch (view) {
      case View::kPlain:
      case View::kExperts:
        Add(0, InOrder(from_.groups * from_.rows, from_.columns));
        break;
      case View::kEvenRows:
      case View::kOddRows:
        TakeEveryOtherRow(view == View::kOddRows ? 1 : 0);
        break;
      case View::kTranspose:
        Transpose(1, 0);
        break;
      case View::kEvenColumns:
      case View::kOddColumns:
        Transpose(2, view == View::kOddColumns ? 1 : 0);
        break;
      case View::kQueryPairs:
        Order(Pairs(shapes_.heads));
        break;
      case View::kKeyPairs:
        Order(Pairs(shapes_.kv_heads));
        break;
      case View::kValueHeads:
        Order(ValueHeads(shapes_.value_dim));
        break;
      case View::kValueUnits:
        Order(ValueHeads(1));
        break;
      case View::kValueColumns:
        made_.columns = ValueHeads(shapes_.value_dim);
        Add(0, InOrder(from_.groups * from_.rows, from_.columns));
        break;
      case View::kChannels:
        OrderChannels();
        break;
      case View::kChannelsOfKeyHeads:
        PartKeyHeads(true);
        break;
      case View::kGatesOfKeyHeads:
        PartKeyHeads(false);
        break;
    }
    return made_;
  }

 private:
  void Add(uint64_t begin, const Places& rows) { made_.parts[made_.part_count++] = {begin, rows}; }

  static Places Apart(Places places, uint64_t times) {
    for (uint64_t& step : places.steps) step *= times;
    return places;
  }

  // Rows in another order, or the elements of a vector.
  void Order(const Places& places) {
    if (from_.rank < 2) {
      made_.columns = places;
      Add(0, InOrder(1, from_.columns));
    } else {
      Add(0, Apart(places, from_.columns));
    }
  }

  void TakeEveryOtherRow(uint64_t first) {
    const uint64_t rows = (from_.rows + 1 - first) / 2;
    made_.dims[1] = rows;
    Add(first * from_.columns,
        {{1, from_.groups, rows}, {0, from_.rows * from_.columns, 2 * from_.columns}});
  }

  // Every `step`th column becomes a row. Of a matrix rows are experts, which have a vector each.
  void Transpose(uint64_t step, uint64_t first) {
    const uint64_t taken = (from_.columns + step - 1 - first) / step;
    if (from_.rank < 3) {
      made_.dims[0] = taken;
      made_.columns = InOrder(taken, step);
      Add(first, InOrder(from_.rows, from_.columns));
    } else {
      made_.dims[0] = from_.rows;
      made_.dims[1] = taken;
      made_.columns = InOrder(from_.rows, from_.columns);
      Add(first, {{1, from_.groups, taken}, {0, from_.rows * from_.columns, step}});
    }
  }

  // Of a head's two halves, one element of each in turn.
  Places Pairs(uint32_t heads) const {
    const uint64_t rows = from_.rank < 2 ? from_.columns : from_.groups * from_.rows;
    const uint64_t dim = rows / std::max(heads, 1u);
    return {{heads, dim / 2, 2}, {dim, 1, dim / 2}};
  }

  Places ValueHeads(uint64_t width) const {
    const uint64_t key_heads = std::max(shapes_.key_heads, 1u);
    const uint64_t share = shapes_.value_heads / key_heads;
    if (!shapes_.tiled) return InOrder(shapes_.value_heads * width, 1);
    return {{share, key_heads, width}, {width, share * width, 1}};
  }

  void OrderChannels() {
    const uint64_t keys = uint64_t{2} * shapes_.key_heads * shapes_.key_dim;
    Add(0, InOrder(keys, from_.columns));
    Add(keys * from_.columns, Apart(ValueHeads(shapes_.value_dim), from_.columns));
  }

  // All queries, all keys, all values; or the gates of all values. What the others leave are rows
  // of the source, too.
  void PartKeyHeads(bool channels) {
    const uint64_t heads = std::max(shapes_.key_heads, 1u);
    const uint64_t keys = shapes_.key_dim;
    const uint64_t values = shapes_.value_heads / heads * shapes_.value_dim;
    const auto add = [&](uint64_t begin, uint64_t rows) {
      const uint64_t step = 2 * (keys + values) * from_.columns;
      Add(begin * from_.columns, {{1, heads, rows}, {0, step, from_.columns}});
    };
    if (channels) {
      add(0, keys);
      add(keys, keys);
      add(2 * keys, values);
      made_.dims[1] = from_.rows - heads * values;
    } else {
      add(2 * keys + values, values);
      made_.dims[1] = from_.rows - heads * (2 * keys + values);
    }
  }

  SourceMatrix from_;
  Shapes shapes_;
  Arrangement made_;
};

}  // namespace hf
}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_VIEWS_H_
