// KvCache: the keys and values of one sequence, in pages of 64 positions per layer.
//
// Layers that see everything have a place for every 64 positions of the context. Layers with a
// window keep a ring: enough places for the window and for the rows of one pass. Layers that read
// another's keys and values, and those without attention, have none of their own.
//
// A place holds a page of the family's pool, taken when it is first written to. Sequences that were
// forked share pages until one of them writes there and takes its own.
#ifndef JUNTO_RUNTIME_KV_CACHE_H_
#define JUNTO_RUNTIME_KV_CACHE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "junto/base/arena.h"
#include "junto/model/spec.h"
#include "junto/runtime/page_pool.h"
#include "junto/runtime/session_spec.h"
#include "junto/runtime/snapshot.h"

namespace junto {

// The shape of one layer's cache, and where its pages are.
struct KvLayer {
  // Of layer i: no places where it has none of its own. `spec` is resolved.
  static KvLayer Shape(const ModelSpec& model, size_t i, const SessionSpec& spec) {
    KvLayer layer = {};
    const AttentionSpec& attention = model.layers[i].attention;
    if (attention.kv_back != 0 || model.layers[i].delta.present()) return layer;
    layer.own = true;
    const uint64_t per_dim = uint64_t{kKvBlock} * KvTypeSize(spec.kv_type);
    layer.value_offset = attention.key_dim * per_dim;
    layer.head_bytes = layer.value_offset + attention.value_dim * per_dim;
    layer.block_bytes = layer.head_bytes * attention.kv_heads;
    layer.block_count = CeilDiv(spec.context, kKvBlock);
    if (attention.window != 0) {
      const uint64_t seen = uint64_t{attention.window} - 1 + spec.chunk;
      const uint64_t ring = CeilDiv<uint64_t>(seen, kKvBlock) + 1;
      layer.block_count = static_cast<uint32_t>(std::min<uint64_t>(layer.block_count, ring));
      layer.window = attention.window;
    }
    return layer;
  }

  uint64_t block_bytes;   // keys and values of all kv heads
  uint64_t head_bytes;    // keys of one head followed by its values
  uint64_t value_offset;  // of a head's values from its keys
  uint32_t block_count;   // places; block b lies at b % block_count
  uint32_t window;        // 0: no ring, all positions stay
  bool own;               // false: another layer's, or none
  uint8_t** blocks;       // [block_count], nullptr where nothing was written
};

// The pages of a family: enough for one whole context, and for each fork what it may hold of its
// own beside the page in which it parts from the others.
class KvPool {
 public:
  void LayOut(const ModelSpec& model, const SessionSpec& spec, Arena* tables, Arena* pages) {
    const size_t layers = model.layers.size();
    layers_ = tables->Take<PagePool>(layers);
    for (size_t i = 0; i < layers; ++i) {
      const KvLayer shape = KvLayer::Shape(model, i, spec);
      const uint64_t apart = CeilDiv<uint64_t>(spec.fork_tokens, kKvBlock) + 1;
      const uint64_t count =
          shape.block_count + spec.max_forks * std::min<uint64_t>(shape.block_count, apart);
      PagePool pool;
      pool.LayOut(count, shape.block_bytes, tables, pages);
      if (layers_ != nullptr) layers_[i] = pool;
    }
  }

  PagePool* layer(uint32_t i) const { return &layers_[i]; }
  // Held while pages change hands: a family's sequences may run on several threads.
  std::mutex& mutex() { return mutex_; }

 private:
  std::mutex mutex_;
  PagePool* layers_ = nullptr;
};

class KvCache {
 public:
  // Takes room for tables; with a measuring arena it only says how much. `spec` is resolved; the
  // pool outlives the cache.
  void LayOut(const ModelSpec& model, const SessionSpec& spec, KvPool* pool, Arena* tables) {
    pool_ = pool;
    type_ = spec.kv_type;
    layer_count_ = static_cast<uint32_t>(model.layers.size());
    layers_ = tables->Take<KvLayer>(layer_count_);
    for (uint32_t i = 0; i < layer_count_; ++i) {
      KvLayer layer = KvLayer::Shape(model, i, spec);
      layer.blocks = tables->Take<uint8_t*>(layer.block_count);
      if (layers_ == nullptr || layer.blocks == nullptr) continue;
      std::fill(layer.blocks, layer.blocks + layer.block_count, nullptr);
      layers_[i] = layer;
    }
    for (uint32_t i = 0; i < layer_count_ && layers_ != nullptr; ++i) {
      const uint32_t back = model.layers[i].attention.kv_back;
      if (back == 0) continue;
      layers_[i] = layers_[i - back];
      layers_[i].own = false;
    }
  }

  KvType type() const { return type_; }
  const KvLayer& layer(uint32_t i) const { return layers_[i]; }

  // Makes sure that the pages of positions [begin, end) are this sequence's alone, with what stands
  // before `begin` in the first. From then on their places may be overwritten. E_MEMORY, with
  // nothing changed, when forks hold what is missing.
  Status Prepare(uint64_t begin, uint64_t end) {
    const std::lock_guard<std::mutex> lock(pool_->mutex());
    for (uint32_t i = 0; i < layer_count_; ++i) {
      uint64_t missing = 0;
      ForEachBlock(i, begin, end, [&](uint64_t, uint8_t* page) { missing += !Alone(i, page); });
      if (missing > pool_->layer(i)->free_count()) return Lack(missing, i);
    }
    for (uint32_t i = 0; i < layer_count_; ++i) {
      ForEachBlock(i, begin, end, [&](uint64_t block, uint8_t*& page) {
        if (!Alone(i, page)) Replace(i, block * kKvBlock < begin, &page);
      });
    }
    written_end_ = std::max(written_end_, end);
    return Status();
  }

  // Whether a sequence cut back to `position` still finds all the keys that its next token sees:
  // rings may have reused the places, and a snapshot knows only what was still there.
  bool CanRewind(uint64_t position) const {
    if (position == 0 || written_end_ == 0) return true;
    const uint64_t last_block = (written_end_ - 1) / kKvBlock;
    for (uint32_t i = 0; i < layer_count_; ++i) {
      const KvLayer& layer = layers_[i];
      if (layer.window == 0) continue;
      const uint64_t first = FirstSeen(layer, position);
      if (first / kKvBlock + layer.block_count <= last_block) return false;
      for (uint64_t block = first / kKvBlock; block * kKvBlock < position; ++block) {
        if (layer.blocks[block % layer.block_count] == nullptr) return false;
      }
    }
    return true;
  }

  // Gives back the pages that hold nothing before `position`; cut to 0, every page.
  void Cut(uint64_t position) {
    if (position == 0) written_end_ = 0;
    const std::lock_guard<std::mutex> lock(pool_->mutex());
    for (uint32_t i = 0; i < layer_count_; ++i) {
      if (layers_[i].own) GivePages(i, Kept(layers_[i], position));
    }
  }

  // Becomes that of a fork of a sequence with keys for `held` positions: shares the pages of
  // `parent`, which is of the same family, and copies none. Nothing was written to this one yet.
  void ShareFrom(const KvCache& parent, uint64_t held) {
    const std::lock_guard<std::mutex> lock(pool_->mutex());
    for (uint32_t i = 0; i < layer_count_; ++i) {
      const KvLayer& from = parent.layers_[i];
      if (!from.own || held == 0) continue;
      for (uint32_t b = 0; b < Kept(from, held); ++b) {
        if (from.blocks[b] != nullptr)
          layers_[i].blocks[b] = pool_->layer(i)->Share(from.blocks[b]);
      }
    }
    written_end_ = held == 0 ? 0 : parent.written_end_;
  }

  // Writes what is kept of the first `held` positions: of each layer the first block, then that and
  // all that follow it.
  void Save(uint64_t held, SnapshotWriter* to) const {
    for (uint32_t i = 0; i < layer_count_; ++i) {
      const KvLayer& layer = layers_[i];
      if (!layer.own) continue;
      const uint64_t end = CeilDiv<uint64_t>(held, kKvBlock);
      uint64_t block = FirstIntact(layer, end);
      to->Put(static_cast<uint32_t>(block));
      for (; block < end; ++block) {
        uint8_t* const page = to->Room(layer.block_bytes);
        if (page == nullptr) continue;
        std::memcpy(page, layer.blocks[block % layer.block_count], layer.block_bytes);
        const uint64_t used = held - block * kKvBlock;
        if (used < kKvBlock) ClearSlots(layer, static_cast<uint32_t>(used), page);
      }
    }
  }

  // Reads that back in place of what is here; without `apply` only checks it. E_MEMORY, with
  // nothing changed, when forks hold the pages for it.
  Status Load(uint64_t held, bool apply, SnapshotReader* from) {
    if (apply) JUNTO_TRY(TakePages(held, *from));
    for (uint32_t i = 0; i < layer_count_; ++i) {
      const KvLayer& layer = layers_[i];
      if (!layer.own) continue;
      const uint64_t end = CeilDiv<uint64_t>(held, kKvBlock);
      uint64_t block = from->Get<uint32_t>();
      from->Require(block <= FirstSeen(layer, held) / kKvBlock);
      for (; block < end && from->ok(); ++block) {
        const uint8_t* const page = from->Bytes(layer.block_bytes);
        if (!apply || block + layer.block_count < end) continue;
        std::memcpy(layer.blocks[block % layer.block_count], page, layer.block_bytes);
      }
    }
    if (apply) written_end_ = held;
    return Status();
  }

 private:
  // The first position that one at `position` sees.
  static uint64_t FirstSeen(const KvLayer& layer, uint64_t position) {
    return layer.window != 0 && position >= layer.window ? position - layer.window + 1 : 0;
  }

  // Of the blocks before `end`, the first from which on all are still there.
  uint64_t FirstIntact(const KvLayer& layer, uint64_t end) const {
    const uint64_t written = CeilDiv<uint64_t>(written_end_, kKvBlock);
    uint64_t block = end;
    while (block > 0 && block - 1 + layer.block_count >= written &&
           layer.blocks[(block - 1) % layer.block_count] != nullptr) {
      --block;
    }
    return block;
  }

  // Zeros in place of positions from `slot` on: a snapshot tells nothing but what was computed.
  void ClearSlots(const KvLayer& layer, uint32_t slot, uint8_t* page) const {
    const size_t size = KvTypeSize(type_);
    const uint64_t value_bytes = (layer.head_bytes - layer.value_offset) / kKvBlock;
    for (uint8_t* head = page; head < page + layer.block_bytes; head += layer.head_bytes) {
      for (uint8_t* key = head; key < head + layer.value_offset; key += kKvBlock * size) {
        std::memset(key + slot * size, 0, (kKvBlock - slot) * size);
      }
      std::memset(head + layer.value_offset + slot * value_bytes, 0,
                  (kKvBlock - slot) * value_bytes);
    }
  }

  // Exchanges all pages for those that a snapshot fills, whose content was checked.
  Status TakePages(uint64_t held, SnapshotReader from) {
    const std::lock_guard<std::mutex> lock(pool_->mutex());
    for (const bool take : {false, true}) {
      SnapshotReader reader = from;
      for (uint32_t i = 0; i < layer_count_; ++i) {
        const KvLayer& layer = layers_[i];
        if (!layer.own) continue;
        const uint64_t end = CeilDiv<uint64_t>(held, kKvBlock);
        const uint64_t first = reader.Get<uint32_t>();
        const uint64_t kept = std::min<uint64_t>(end - first, layer.block_count);
        (void)reader.Bytes((end - first) * layer.block_bytes);
        if (take) {
          GivePages(i, 0);
          for (uint64_t block = end - kept; block < end; ++block) {
            layer.blocks[block % layer.block_count] = pool_->layer(i)->Take();
          }
        } else if (const uint64_t free = AloneCount(i) + pool_->layer(i)->free_count();
                   kept > free) {
          return Lack(kept - free, i);
        }
      }
    }
    return Status();
  }

  // The places that matter to `position` positions; those of a ring say nothing of positions.
  static uint32_t Kept(const KvLayer& layer, uint64_t position) {
    if (layer.window != 0 && position != 0) return layer.block_count;
    return static_cast<uint32_t>(CeilDiv<uint64_t>(position, kKvBlock));
  }

  // Calls f(block, its page) for the blocks of [begin, end) that layer i keeps.
  template <class F>
  void ForEachBlock(uint32_t i, uint64_t begin, uint64_t end, const F& f) const {
    const KvLayer& layer = layers_[i];
    if (!layer.own) return;
    for (uint64_t block = begin / kKvBlock; block * kKvBlock < end; ++block) {
      f(block, layer.blocks[block % layer.block_count]);
    }
  }

  void GivePages(uint32_t i, uint32_t first) const {
    const KvLayer& layer = layers_[i];
    for (uint32_t b = first; b < layer.block_count; ++b) {
      if (layer.blocks[b] != nullptr) pool_->layer(i)->Drop(layer.blocks[b]);
      layer.blocks[b] = nullptr;
    }
  }

  uint64_t AloneCount(uint32_t i) const {
    uint64_t count = 0;
    for (uint32_t b = 0; b < layers_[i].block_count; ++b) count += Alone(i, layers_[i].blocks[b]);
    return count;
  }
  bool Alone(uint32_t i, const uint8_t* page) const {
    return page != nullptr && !pool_->layer(i)->shared(page);
  }

  void Replace(uint32_t i, bool copy, uint8_t** page) {
    PagePool* pool = pool_->layer(i);
    uint8_t* const fresh = pool->Take();
    if (*page != nullptr) {
      if (copy) std::memcpy(fresh, *page, pool->page_bytes());
      pool->Drop(*page);
    }
    *page = fresh;
  }

  Status Lack(uint64_t missing, uint32_t i) const {
    return Status::Make(Code::kMemory,
                        "out of pages: %llu more are needed, the session and its forks left %llu",
                        static_cast<unsigned long long>(missing),
                        static_cast<unsigned long long>(pool_->layer(i)->free_count()));
  }

  KvPool* pool_ = nullptr;
  KvType type_ = KvType::kF16;
  uint32_t layer_count_ = 0;
  KvLayer* layers_ = nullptr;
  uint64_t written_end_ = 0;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_KV_CACHE_H_
