// Model: an opened file, its spec, tokenizer and weights. Immutable once loaded, shared by threads.
#ifndef JUNTO_RUNTIME_MODEL_H_
#define JUNTO_RUNTIME_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <utility>

#include "junto/model/families.h"
#include "junto/runtime/loader.h"
#include "junto/runtime/pass.h"
#include "junto/runtime/program.h"
#include "junto/text/chat.h"
#include "junto/text/tokenizer.h"

namespace junto {

// What a model takes from its runtime; all of it outlives the model.
struct Services {
  Memory* memory = nullptr;
  Executor* executor = nullptr;
  const KernelTable* kernels = nullptr;
};

struct LoadOptions {
  ModelOptions model;
  bool metadata_only = false;
  bool widen = false;  // every matrix as F32, for tests of the rest
  Loader::Options loader;
};

class Model {
 public:
  // Takes the opened file. Throws OutOfMemory.
  static Status Load(Owned<Gguf> gguf, const Services& services, const LoadOptions& options,
                     Owned<Model>* out) {
    Owned<Model> model = New<Model>(services.memory, Tag::kObject, std::move(gguf), services);
    JUNTO_TRY(ReadModelSpec(*model->gguf_, options.model, &model->spec_));
    JUNTO_TRY(Tokenizer::FromGguf(*model->gguf_, services.memory, &model->tokenizer_));
    JUNTO_TRY(model->CheckVocabulary());
    std::string_view chat_template;
    JUNTO_TRY(model->gguf_->metadata().GetStringOr("tokenizer.chat_template", "", &chat_template));
    model->markup_.Detect(*model->tokenizer_, chat_template);

    model->weights_.layers.resize(model->spec_.layers.size());
    Arena measure;
    LayOutWeights(model->spec_, options.widen, &measure, &model->weights_);
    if (!measure.ok()) {
      return Status::Make(Code::kFormat, "weights of %zu layers exceed 2^64 bytes",
                          model->spec_.layers.size());
    }
    model->weight_bytes_ = measure.used();
    model->load_bytes_ = Loader::TemporaryBytes(model->spec_);
    if (!options.metadata_only) JUNTO_TRY(model->LoadWeights(options));
    *out = std::move(model);
    return Status();
  }

  Model(Owned<Gguf> gguf, const Services& services)
      : services_(services),
        gguf_(std::move(gguf)),
        spec_(services.memory),
        markup_(services.memory),
        weights_(services.memory),
        frequencies_({services.memory, Tag::kObject}),
        ropes_({services.memory, Tag::kObject}) {}

  const Services& services() const { return services_; }
  const Metadata& metadata() const { return gguf_->metadata(); }
  const ModelSpec& spec() const { return spec_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const ChatMarkup& markup() const { return markup_; }
  bool loaded() const { return loaded_; }
  Program program() const { return Program(static_cast<uint32_t>(spec_.layers.size())); }

  // For planning it is complete even without weights.
  Engine engine() const {
    return {&spec_, &weights_, ropes_.data(), services_.kernels, services_.executor};
  }

  uint64_t weight_bytes() const { return weight_bytes_; }  // in memory
  uint64_t load_bytes() const { return load_bytes_; }      // of the temporary while loading

  // Sums over the matrices that one token reads, the embedding row aside.
  struct Cost {
    uint64_t bytes = 0;
    uint64_t params = 0;
  };
  Cost DecodeCost() const {
    Cost cost;
    const auto add = [&cost](const Matrix& matrix, uint64_t count) {
      const PanelMatrix& panels = matrix.panels;
      cost.bytes += count * MatrixBytes(panels.format, panels.rows, panels.columns);
      cost.params += count * panels.rows * panels.columns;
    };
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      const LayerWeights& layer = weights_.layers[i];
      const RouterSpec& router = spec_.layers[i].ffn.router;
      for (const Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.out}) add(*matrix, 1);
      if (router.experts != 0) add(layer.route, 1);
      const uint64_t used = router.experts != 0 ? router.experts_used : 1;
      for (const Matrix* matrix : {&layer.ffn.gate, &layer.ffn.up, &layer.ffn.down}) {
        add(*matrix, used);
      }
    }
    add(weights_.head, 1);
    return cost;
  }
  uint64_t TotalParams() const {
    uint64_t params = 0;
    for (const TensorInfo& tensor : gguf_->tensors()) {
      params += tensor.dims[0] * tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
    }
    return params;
  }

 private:
  Status CheckVocabulary() const {
    if (tokenizer_->vocabulary_size() <= spec_.vocab) return Status();
    return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: %zu tokens, but %u embedding rows",
                        tokenizer_->vocabulary_size(), spec_.vocab);
  }

  Status LoadWeights(const LoadOptions& options) {
    JUNTO_TRY(Block::Allocate(services_.memory, weight_bytes_, kExpertAlignment, Tag::kWeights,
                              &storage_));
    Arena arena(storage_.data(), storage_.size());
    LayOutWeights(spec_, options.widen, &arena, &weights_);
    Loader loader(gguf_.get(), services_.executor, options.loader);
    JUNTO_TRY(loader.Load(spec_, services_.memory, &weights_));
    JUNTO_TRY(FillRopes());
    loaded_ = true;
    return Status();
  }

  Status FillRopes() {
    size_t pairs = 0;
    for (const RopeSpec& rope : spec_.ropes) pairs += rope.dims / 2;
    frequencies_.resize(pairs);
    ropes_.resize(spec_.ropes.size());
    double* next = frequencies_.data();
    for (size_t i = 0; i < ropes_.size(); ++i) {
      RopeSpec& rope = spec_.ropes[i];
      rope.factors = weights_.rope_factors;
      JUNTO_TRY(CheckRope(rope));
      RopeFrequencies(rope, next, &ropes_[i].magnitude);
      ropes_[i].frequencies = next;
      next += rope.dims / 2;
    }
    return Status();
  }

  Services services_;
  Owned<Gguf> gguf_;
  ModelSpec spec_;
  Owned<Tokenizer> tokenizer_;
  ChatMarkup markup_;
  ModelWeights weights_;
  Block storage_;
  Vector<double> frequencies_;
  Vector<RopeTable> ropes_;
  uint64_t weight_bytes_ = 0;
  uint64_t load_bytes_ = 0;
  bool loaded_ = false;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_MODEL_H_
