// KvCache: the keys and values of one sequence, in blocks of 64 positions per layer.
//
// Layers that see everything have a block for every 64 positions of the context. Layers with a
// window keep a ring: enough blocks for the window and for the rows of one pass. Layers that read
// another's keys and values, and those without attention, have none of their own.
#ifndef JUNTO_RUNTIME_KV_CACHE_H_
#define JUNTO_RUNTIME_KV_CACHE_H_

#include <algorithm>
#include <cstdint>

#include "junto/base/arena.h"
#include "junto/model/spec.h"

namespace junto {

// The shape of one layer's cache.
struct KvLayer {
  uint64_t block_bytes;   // keys and values of all kv heads
  uint64_t head_bytes;    // keys of one head followed by its values
  uint64_t value_offset;  // of a head's values from its keys
  uint32_t block_count;   // of the ring; block b lies at b % block_count
  uint32_t window;        // 0: no ring, all positions stay
  uint8_t** blocks;       // [block_count]
};

class KvCache {
 public:
  // Takes its room from the arenas (tables from one, keys and values from the other); with
  // measuring arenas it only says how much. `chunk` is the most rows of one pass.
  void LayOut(const ModelSpec& spec, uint32_t context, uint32_t chunk, KvType type, Arena* tables,
              Arena* pages) {
    type_ = type;
    layer_count_ = static_cast<uint32_t>(spec.layers.size());
    layers_ = tables->Take<KvLayer>(layer_count_);
    for (uint32_t i = 0; i < layer_count_; ++i) {
      if (const uint32_t back = spec.layers[i].attention.kv_back; back != 0) {
        if (layers_ != nullptr) layers_[i] = layers_[i - back];
        continue;
      }
      if (spec.layers[i].delta.present()) {
        if (layers_ != nullptr) layers_[i] = KvLayer();
        continue;
      }
      KvLayer layer = Shape(spec.layers[i].attention, context, chunk, type);
      layer.blocks = tables->Take<uint8_t*>(layer.block_count);
      uint8_t* data = pages->Take<uint8_t>(layer.block_count * layer.block_bytes);
      if (layers_ == nullptr || layer.blocks == nullptr || data == nullptr) continue;
      for (uint32_t b = 0; b < layer.block_count; ++b) {
        layer.blocks[b] = data + b * layer.block_bytes;
      }
      layers_[i] = layer;
    }
  }

  KvType type() const { return type_; }
  const KvLayer& layer(uint32_t i) const { return layers_[i]; }

  // Says that positions up to `end` (exclusive) may be overwritten from now on.
  void NoteWrites(uint64_t end) { written_end_ = std::max(written_end_, end); }

  // Whether a sequence cut back to `position` still finds all the keys that its next token sees:
  // rings may have reused the blocks.
  bool CanRewind(uint64_t position) const {
    if (position == 0 || written_end_ == 0) return true;
    const uint64_t last_block = (written_end_ - 1) / kKvBlock;
    for (uint32_t i = 0; i < layer_count_; ++i) {
      const KvLayer& layer = layers_[i];
      if (layer.window == 0) continue;
      const uint64_t first = position >= layer.window ? position - layer.window + 1 : 0;
      if (first / kKvBlock + layer.block_count <= last_block) return false;
    }
    return true;
  }

  // Starting over at position 0 makes every block fresh.
  void Clear() { written_end_ = 0; }

 private:
  static KvLayer Shape(const AttentionSpec& attention, uint32_t context, uint32_t chunk,
                       KvType type) {
    KvLayer layer = {};
    const uint64_t per_dim = uint64_t{kKvBlock} * KvTypeSize(type);
    layer.value_offset = attention.key_dim * per_dim;
    layer.head_bytes = layer.value_offset + attention.value_dim * per_dim;
    layer.block_bytes = layer.head_bytes * attention.kv_heads;
    layer.block_count = CeilDiv(context, kKvBlock);
    if (attention.window != 0) {
      const uint64_t ring = CeilDiv<uint64_t>(uint64_t{attention.window} - 1 + chunk, kKvBlock) + 1;
      layer.block_count = static_cast<uint32_t>(std::min<uint64_t>(layer.block_count, ring));
      layer.window = attention.window;
    }
    return layer;
  }

  KvType type_ = KvType::kF16;
  uint32_t layer_count_ = 0;
  KvLayer* layers_ = nullptr;
  uint64_t written_end_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_KV_CACHE_H_
