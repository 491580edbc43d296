// Model: an opened file, its spec, tokenizer and weights. Immutable once loaded, shared by threads.
#ifndef JUNTO_RUNTIME_MODEL_H_
#define JUNTO_RUNTIME_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <utility>

#include "junto/base/background.h"
#include "junto/io/packed.h"
#include "junto/model/families.h"
#include "junto/runtime/loader.h"
#include "junto/runtime/packer.h"
#include "junto/runtime/pass.h"
#include "junto/runtime/program.h"
#include "junto/text/chat.h"
#include "junto/text/output/markup.h"
#include "junto/text/tokenizer.h"

namespace junto {

// What a model takes from its runtime; all of it outlives the model.
struct Services {
  Memory* memory = nullptr;
  Executor* executor = nullptr;
  const KernelTable* kernels = nullptr;
  BackgroundService* background = nullptr;  // nullptr: experts are read by who waits for them
};

struct LoadOptions {
  ModelOptions model;
  bool metadata_only = false;
  bool in_place = true;  // a packed file's bytes, where it can map them, last as long as the model
  bool widen = false;    // every matrix as F32, for tests of the rest
  uint64_t expert_budget = 0;  // bytes of experts in memory at a time; 0: all of them
  Loader::Options loader;
  Owned<FloatGemm>* gemm = nullptr;  // to take over, for float matrices
};

class Model {
 public:
  // Takes the opened file. Throws OutOfMemory.
  static Status Load(ModelFile file, const Services& services, const LoadOptions& options,
                     Owned<Model>* out) {
    Owned<Model> model = New<Model>(services.memory, Tag::kObject, std::move(file), services);
    JUNTO_TRY(ReadModelSpec(*model->gguf_, options.model, &model->spec_));
    JUNTO_TRY(Tokenizer::FromGguf(*model->gguf_, services.memory, &model->tokenizer_));
    JUNTO_TRY(model->CheckVocabulary());
    std::string_view chat_template;
    JUNTO_TRY(model->gguf_->metadata().GetStringOr("tokenizer.chat_template", "", &chat_template));
    model->markup_.Detect(*model->tokenizer_, chat_template);
    model->output_ = OutputMarkup::Detect(*model->tokenizer_, chat_template);

    JUNTO_TRY(model->ReadFingerprint(options.model));

    model->weights_.layers.resize(model->spec_.layers.size());
    JUNTO_TRY(model->Measure(options.widen));
    if (model->packed_ != nullptr) JUNTO_TRY(model->CheckPacked());
    if (options.expert_budget != 0 && model->expert_bytes() != 0) {
      JUNTO_TRY(model->PlanExperts(options));
    } else if (model->packed_ != nullptr) {
      model->MapWeights(options);
    }
    if (!options.metadata_only) JUNTO_TRY(model->LoadWeights(options));
    if (options.gemm != nullptr) JUNTO_TRY(model->PrepareGemm(std::move(*options.gemm)));
    *out = std::move(model);
    return Status();
  }

  // Writes the model as a packed file, all but the commit. E_INVALID when it came from one.
  Status Pack(const Loader::Options& options, NewFile* file) {
    if (packed_ != nullptr) {
      return Status::Make(Code::kInvalid, "the model is packed already: %llu bytes of weights",
                          static_cast<unsigned long long>(weight_bytes_));
    }
    Packer packer(gguf_.get(), &spec_, services_.executor, services_.memory);
    return packer.Write(options, file);
  }

  Model(ModelFile file, const Services& services)
      : services_(services),
        packed_(std::move(file.packed)),
        gguf_(std::move(file.gguf)),
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
  const OutputMarkup& output() const { return output_; }
  bool loaded() const { return loaded_; }
  Program program() const { return Program(static_cast<uint32_t>(spec_.layers.size())); }

  // For planning it is complete even without weights.
  Engine engine() const {
    return {&spec_,      &weights_,     ropes_.data(), services_.kernels, services_.executor,
            gemm_.get(), experts_.get()};
  }

  // Tells it from other models: the same for a file and what was packed from it.
  uint64_t fingerprint() const { return fingerprint_; }

  // In memory, or mapped.
  uint64_t weight_bytes() const {
    return weight_bytes_ + (experts_ == nullptr ? 0 : experts_->bytes());
  }
  uint64_t mapped_bytes() const { return mapped_ ? weight_bytes_ : 0; }
  // Room for all experts, whether they are in memory or not, as a budget counts it.
  uint64_t expert_bytes() const {
    uint64_t count = 0;
    uint64_t largest = 0;
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      const RouterSpec& router = spec_.layers[i].ffn.router;
      if (router.experts == 0) continue;
      count += router.experts;
      largest = std::max(largest, weights_.layers[i].expert_stride);
    }
    return count * largest;
  }
  // Of the temporary while loading.
  uint64_t load_bytes() const { return packed_ != nullptr ? 0 : load_size_.temporary; }
  const Packed* packed() const { return packed_.get(); }  // nullptr for GGUF

  // Sums over the matrices that one token reads, the embedding row aside.
  struct Cost {
    uint64_t bytes = 0;
    uint64_t params = 0;
  };
  Cost DecodeCost() const {
    Cost cost;
    const auto add = [&cost](const Matrix& matrix, uint64_t count = 1) {
      const PanelMatrix& panels = matrix.panels;
      cost.bytes += count * MatrixBytes(panels.format, panels.rows, panels.columns);
      cost.params += count * panels.rows * panels.columns;
    };
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      const LayerWeights& layer = weights_.layers[i];
      const RouterSpec& router = spec_.layers[i].ffn.router;
      for (const Matrix* matrix :
           {&layer.q, &layer.k, &layer.v, &layer.delta.channels, &layer.delta.gate,
            &layer.delta.decays, &layer.delta.rates, &layer.out, &layer.route, &layer.beside.gate,
            &layer.beside.up, &layer.beside.down, &layer.beside_gate, &layer.input_gate,
            &layer.input_out}) {
        add(*matrix);
      }
      const uint64_t used = router.experts != 0 ? router.experts_used : 1;
      for (const Matrix* matrix : {&layer.ffn.gate, &layer.ffn.up, &layer.ffn.down}) {
        add(*matrix, used);
      }
    }
    add(weights_.input_projection);
    add(weights_.head);
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
  Status ReadFingerprint(const ModelOptions& options) {
    uint64_t source = 0;
    if (packed_ != nullptr) {
      source = packed_->source();
    } else {
      JUNTO_TRY(packed::Fingerprint(*gguf_, services_.memory, &source));
    }
    Hash hash;
    hash.Add(source);
    hash.Add(static_cast<uint64_t>(options.yarn_truncate));
    fingerprint_ = hash.value();
    return Status();
  }

  Status CheckVocabulary() const {
    if (tokenizer_->vocabulary_size() <= spec_.vocab) return Status();
    return Status::Make(Code::kFormat, "tokenizer.ggml.tokens: %zu tokens, but %u embedding rows",
                        tokenizer_->vocabulary_size(), spec_.vocab);
  }

  // What the weights will take, and where each will lie.
  Status Measure(bool widen) {
    Arena arena;
    LayoutHash layout;
    LayOutWeights(spec_, widen, false, &arena, &weights_, [&](const Placement& placement) {
      layout.Add(placement);
      Loader::Measure(placement, &load_size_);
    });
    if (!arena.ok()) {
      return Status::Make(Code::kFormat, "weights of %zu layers exceed 2^64 bytes",
                          spec_.layers.size());
    }
    weight_bytes_ = arena.used();
    if (static_cast<size_t>(weight_bytes_) != weight_bytes_) {
      return Status::Make(Code::kUnsupported,
                          "%llu bytes of weights: more than pointers reach here",
                          static_cast<unsigned long long>(weight_bytes_));
    }
    layout_hash_ = layout.value();
    return Status();
  }

  Status CheckPacked() const {
    if (packed_->weights_bytes() == weight_bytes_ && packed_->layout_hash() == layout_hash_) {
      return Status();
    }
    return Status::Make(Code::kUnsupported,
                        "packed file of another layout: %llu bytes of weights with hash %016llx: "
                        "pack the model again",
                        static_cast<unsigned long long>(packed_->weights_bytes()),
                        static_cast<unsigned long long>(packed_->layout_hash()));
  }

  // Experts stay in the file, but for those that the budget holds.
  Status PlanExperts(const LoadOptions& options) {
    if (packed_ == nullptr || !options.in_place) {
      return Status::Make(Code::kInvalid,
                          "expert_budget of %llu bytes: only a packed file that stays open can "
                          "hand out its experts one by one",
                          static_cast<unsigned long long>(options.expert_budget));
    }
    Owned<ExpertCache> cache = New<ExpertCache>(services_.memory, Tag::kObject, services_.memory);
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      const LayerWeights& layer = weights_.layers[i];
      const RouterSpec& router = spec_.layers[i].ffn.router;
      cache->AddLayer({layer.expert_offset, layer.expert_stride, layer.expert_bytes, router.experts,
                       router.experts_used});
    }
    JUNTO_TRY(cache->Plan(options.expert_budget));
    if (packed_->experts() != cache->total()) {
      return Status::Make(Code::kFormat, "packed file: hashes of %llu experts, %u expected",
                          static_cast<unsigned long long>(packed_->experts()), cache->total());
    }
    Arena arena;
    LayOutWeights(spec_, false, true, &arena, &weights_, [](const Placement&) {});
    weight_bytes_ = arena.used();
    experts_ = std::move(cache);
    return Status();
  }

  // In place where the file can and kernels can read it; for a plan it is enough to have tried.
  void MapWeights(const LoadOptions& options) {
    if (!options.in_place || !options.loader.map) return;
    Mapping mapping(packed_->file(), packed_->weights(), weight_bytes_, services_.memory);
    mapped_ = mapping.data() != nullptr &&
              reinterpret_cast<uintptr_t>(mapping.data()) % Arena::kAlignment == 0;
    if (mapped_ && !options.metadata_only) mapping_ = std::move(mapping);
  }

  Status LoadWeights(const LoadOptions& options) {
    const auto* weights = static_cast<const uint8_t*>(mapping_.data());
    if (!mapped_) {
      JUNTO_TRY(Block::Allocate(services_.memory, weight_bytes_, kExpertAlignment, Tag::kWeights,
                                &storage_));
      weights = storage_.data();
    }
    // Nothing writes to weights that are mapped.
    Arena arena(const_cast<uint8_t*>(weights), weight_bytes_);
    if (packed_ != nullptr) {
      LayOutWeights(spec_, options.widen, experts_ != nullptr, &arena, &weights_,
                    [](const Placement&) {});
      JUNTO_TRY(ReadPacked(options.loader));
    } else {
      JUNTO_TRY(Transcode(options, &arena));
    }
    JUNTO_TRY(FillRopes());
    loaded_ = true;
    return Status();
  }

  Status Transcode(const LoadOptions& options, Arena* arena) {
    MemorySink sink(storage_.data());
    Loader loader(gguf_.get(), services_.executor, &sink, load_size_.total, options.loader);
    JUNTO_TRY(loader.Prepare(load_size_.temporary, services_.memory));
    Status status;
    LayOutWeights(spec_, options.widen, false, arena, &weights_, [&](const Placement& placement) {
      if (status.ok()) status = loader.Load(placement);
    });
    loader.Finish();
    return status;
  }

  // A packed file's weights as they are; what is mapped is there already.
  Status ReadPacked(const Loader::Options& options) {
    uint64_t skipped = 0;  // experts that stay in the file
    uint64_t done = mapped_ ? weight_bytes_ : 0;
    do {
      uint64_t size = std::min(weight_bytes_ - done, Loader::kPieceBytes);
      if (experts_ != nullptr) size = std::min(size, SkipExperts(done, &skipped));
      if (size != 0) {
        JUNTO_TRY(packed_->file()->ReadAt(packed_->weights() + done + skipped,
                                          storage_.data() + done, size));
      }
      done += size;
      if (options.progress != nullptr) JUNTO_TRY(options.progress->Update(done, weight_bytes_));
    } while (done < weight_bytes_);
    if (!mapped_ && !options.keep_cache) {
      packed_->file()->Hint(packed_->weights(), packed_->weights_bytes(), FileHint::kDone);
    }
    if (experts_ == nullptr) return Status();
    JUNTO_TRY(packed_->ReadExpertHashes(experts_->hashes()));
    if (!options.keep_cache) {
      packed_->file()->Hint(packed_->weights(), packed_->weights_bytes(), FileHint::kDirect);
    }
    return experts_->Open(packed_->file(), packed_->weights(), services_.background);
  }

  // Leaves out the experts that begin where `done` bytes of the rest and `*skipped` of experts end.
  // How much of the rest follows.
  uint64_t SkipExperts(uint64_t done, uint64_t* skipped) const {
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      const LayerWeights& layer = weights_.layers[i];
      const uint32_t experts = spec_.layers[i].ffn.router.experts;
      if (experts == 0 || layer.expert_offset < done + *skipped) continue;
      if (layer.expert_offset > done + *skipped) return layer.expert_offset - done - *skipped;
      *skipped += experts * layer.expert_stride;
    }
    return weight_bytes_ - done;
  }

  // Float matrices get the tiles that a FloatGemm wants, for a plan too. Gate and up, which are run
  // by the same tiles, go together.
  Status PrepareGemm(Owned<FloatGemm> gemm) {
    gemm_ = std::move(gemm);
    JUNTO_TRY(PrepareGemm({&weights_.input_projection}));
    for (LayerWeights& layer : weights_.layers) {
      for (Matrix* matrix :
           {&layer.q, &layer.k, &layer.v, &layer.delta.channels, &layer.delta.gate, &layer.out,
            &layer.ffn.down, &layer.beside.down, &layer.input_gate, &layer.input_out}) {
        JUNTO_TRY(PrepareGemm({matrix}));
      }
      for (FeedForwardWeights* ffn : {&layer.ffn, &layer.beside}) {
        JUNTO_TRY(PrepareGemm({&ffn->gate, &ffn->up}));
      }
    }
    if (!loaded_) return Status();
    return gemm_->Ready(services_.executor->worker_count(), services_.kernels);
  }

  Status PrepareGemm(std::initializer_list<Matrix*> matrices) {
    for (const Matrix* matrix : matrices) {
      if (!matrix->present() || IsQuantised(matrix->panels.format)) return Status();
    }
    for (Matrix* matrix : matrices) {
      const PanelMatrix& panels = matrix->panels;
      const uint32_t count = PanelCount(panels.rows);
      matrix->tile_panels = LargeTilePanels(panels.stride, count);
      if (!loaded_ || matrix->tile_panels > count) continue;
      JUNTO_TRY(gemm_->Prepare(panels.columns, matrix->tile_panels * kPanelRows));
    }
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
      rope.factors = i == 0 ? weights_.rope_factors : nullptr;
      JUNTO_TRY(CheckRope(rope));
      RopeFrequencies(rope, next, &ropes_[i].magnitude);
      ropes_[i].frequencies = next;
      next += rope.dims / 2;
    }
    return Status();
  }

  Services services_;
  Owned<Packed> packed_;
  Owned<Gguf> gguf_;
  ModelSpec spec_;
  Owned<Tokenizer> tokenizer_;
  ChatMarkup markup_;
  OutputMarkup output_;
  ModelWeights weights_;
  Block storage_;               // of the weights, or
  Mapping mapping_;             // where they are mapped
  Owned<ExpertCache> experts_;  // nullptr: all are in memory; reads packed_
  Owned<FloatGemm> gemm_;
  Vector<double> frequencies_;
  Vector<RopeTable> ropes_;
  uint64_t weight_bytes_ = 0;
  uint64_t layout_hash_ = 0;
  uint64_t fingerprint_ = 0;
  LoadSize load_size_;
  bool mapped_ = false;
  bool loaded_ = false;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_MODEL_H_
