// WeightStore: the only way a tile sees an expert.
#ifndef JUNTO_RUNTIME_WEIGHT_STORE_H_
#define JUNTO_RUNTIME_WEIGHT_STORE_H_

#include <cstdint>

#include "junto/runtime/expert_cache.h"
#include "junto/runtime/weights.h"

namespace junto {

// Weights that are resident answer with a pointer, others with where the cache has read them.
class WeightStore {
 public:
  // `cache` may be nullptr where all is resident.
  WeightStore(const ModelWeights* weights, const ExpertCache* cache)
      : weights_(weights), cache_(cache) {}

  // Any thread. Of a layer whose experts are read, only those that the pass holds and that are
  // ready; the result is valid as long as it holds them, else as long as the weights.
  FeedForwardWeights Acquire(uint32_t layer, uint32_t expert) const {
    const LayerWeights& from = weights_->layers[layer];
    FeedForwardWeights ffn = from.ffn;
    PointInto(from.experts != nullptr ? from.experts + expert * from.expert_stride
                                      : cache_->Record(layer, expert),
              &ffn);
    for (Matrix* matrix : {&ffn.gate, &ffn.up, &ffn.down}) {
      if (matrix->bias != nullptr) matrix->bias += uint64_t{expert} * matrix->panels.rows;
    }
    return ffn;
  }

 private:
  const ModelWeights* weights_;
  const ExpertCache* cache_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_WEIGHT_STORE_H_
