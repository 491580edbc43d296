// Models: loading, what they are, and their tokenizer.
#include <algorithm>
#include <cstddef>
#include <memory>

#include "c_api/handles.h"
#include "c_api/onednn.h"
#include "junto/huggingface/directory.h"

namespace junto {
namespace {

class Progress final : public LoadProgress {
 public:
  Progress(junto_progress_fn fn, void* user) : fn_(fn), user_(user) {}
  Status Update(uint64_t done, uint64_t total) override {
    return FromCallback(fn_(user_, done, total), "progress");
  }

 private:
  junto_progress_fn fn_;
  void* user_;
};

constexpr uint32_t kModelFlags = JUNTO_MODEL_METADATA_ONLY | JUNTO_MODEL_NO_MAP |
                                 JUNTO_MODEL_YARN_TRUNCATE | JUNTO_MODEL_KEEP_CACHE |
                                 JUNTO_MODEL_FAST;

// `known` are the flags that the caller of this understands.
Status TakeDesc(const junto_model_desc* given, uint32_t known, junto_model_desc* desc) {
  JUNTO_TRY(TakeStruct(given, offsetof(junto_model_desc, source), desc));
  if ((desc->flags & ~known) != 0) {
    return Status::Make(Code::kUnsupported, "model flags 0x%x: a part of 0x%x expected",
                        static_cast<unsigned>(desc->flags), static_cast<unsigned>(known));
  }
  if (desc->source == nullptr && desc->source_size != 0) {
    return Status::Make(Code::kInvalid, "source is NULL, with %zu bytes", desc->source_size);
  }
  return Status();
}

// That a packed file is of the model `name` as that is now.
Status CheckSource(junto_runtime* runtime, std::string_view name, const Packed* packed,
                   Memory* memory) {
  if (packed == nullptr) {
    return Status::Make(Code::kInvalid,
                        "a source of %zu bytes is given for a file that is not packed",
                        name.size());
  }
  ModelFile source;
  uint64_t fingerprint = 0;
  JUNTO_TRY(OpenModel(runtime->files.get(), name, memory, &source));
  if (source.packed != nullptr) {
    return Status::Make(Code::kInvalid, "the source is a packed file itself, of source %016llx",
                        static_cast<unsigned long long>(source.packed->source()));
  }
  JUNTO_TRY(packed::Fingerprint(*source.gguf, memory, &fingerprint));
  if (fingerprint == packed->source()) return Status();
  return Status::Make(Code::kMismatch,
                      "packed file is stale: of source %016llx, and the source is %016llx now",
                      static_cast<unsigned long long>(packed->source()),
                      static_cast<unsigned long long>(fingerprint));
}

// `open` yields the ModelFile in the new model's memory.
template <class F>
Status LoadModel(junto_runtime* runtime, const junto_model_desc& desc, LoadOptions options,
                 F&& open, junto_model** out) {
  Progress progress(desc.progress, desc.progress_user);
  if (runtime->strict_memory && (desc.flags & JUNTO_MODEL_FAST) != 0) {
    return Status::Make(Code::kUnsupported, "model flag 0x%x: strict memory has no room for oneDNN",
                        static_cast<unsigned>(JUNTO_MODEL_FAST));
  }
  if (runtime->strict_memory && desc.expert_budget != 0) {
    return Status::Make(Code::kUnsupported,
                        "expert_budget of %llu bytes: strict memory has no room for the stacks of "
                        "threads that read",
                        static_cast<unsigned long long>(desc.expert_budget));
  }
  options.loader.map = runtime->may_map && (desc.flags & JUNTO_MODEL_NO_MAP) == 0;
  options.loader.keep_cache = (desc.flags & JUNTO_MODEL_KEEP_CACHE) != 0;
  options.model.yarn_truncate = (desc.flags & JUNTO_MODEL_YARN_TRUNCATE) != 0;
  options.expert_budget = desc.expert_budget;
  if (desc.progress != nullptr) options.loader.progress = &progress;

  junto_model* handle = Create<junto_model>(runtime, runtime);
  runtime->references.Retain();
  Status status;
  try {
    Owned<FloatGemm> gemm;
    if ((desc.flags & JUNTO_MODEL_FAST) != 0) {
      status = CreateOneDnnGemm(&handle->memory, &gemm);
      options.gemm = &gemm;
    }
    ModelFile file;
    if (status.ok()) status = open(&handle->memory, &file);
    if (status.ok() && desc.source != nullptr) {
      status =
          CheckSource(runtime, {desc.source, desc.source_size}, file.packed.get(), &handle->memory);
    }
    const Services services = {&handle->memory, runtime->executor.get(), runtime->kernels,
                               &runtime->background};
    if (status.ok()) status = Model::Load(std::move(file), services, options, &handle->model);
  } catch (...) {
    Release(handle);
    throw;
  }
  if (!status.ok()) {
    Release(handle);
    return status;
  }
  handle->tokenizer_bytes = handle->memory.current(Tag::kTokenizer);
  const ModelSpec& spec = handle->model->spec();
  runtime->Log(JUNTO_LOG_INFO, "%.*s: %zu layers of width %u, %llu bytes of weights",
               static_cast<int>(spec.architecture.size()), spec.architecture.data(),
               spec.layers.size(), spec.width,
               static_cast<unsigned long long>(handle->model->weight_bytes()));
  *out = handle;
  return Status();
}

Status LoadNamed(junto_runtime* runtime, std::string_view name, const junto_model_desc& desc,
                 bool metadata_only, junto_model** out) {
  LoadOptions options;
  options.metadata_only = metadata_only;
  const auto open = [&](Memory* memory, ModelFile* file) {
    return OpenModel(runtime->files.get(), name, memory, file);
  };
  return LoadModel(runtime, desc, options, open, out);
}

Status CheckName(std::string_view name) {
  if (IsUtf8(name)) return Status();
  return Status::Make(Code::kInvalid, "the name's %zu bytes are not UTF-8", name.size());
}

// Writes `model`, of which only metadata is loaded.
Status PackModel(junto_model* model, std::string_view name, const junto_model_desc& desc) {
  Progress progress(desc.progress, desc.progress_user);
  Loader::Options options;
  options.map = model->runtime->may_map && (desc.flags & JUNTO_MODEL_NO_MAP) == 0;
  options.keep_cache = (desc.flags & JUNTO_MODEL_KEEP_CACHE) != 0;
  if (desc.progress != nullptr) options.progress = &progress;
  Owned<NewFile> file;
  JUNTO_TRY(model->runtime->files->Create(name, &model->memory, &file));
  JUNTO_TRY(model->model->Pack(options, file.get()));
  return file->Commit();
}

junto_model_info InfoOf(const Model& model) {
  const ModelSpec& spec = model.spec();
  const Model::Cost cost = model.DecodeCost();
  junto_model_info info = {};
  info.weight_bytes = model.weight_bytes();
  info.expert_bytes = model.expert_bytes();
  info.decode_bytes = cost.bytes;
  info.params_total = model.TotalParams();
  info.params_active = cost.params;
  info.layers = static_cast<uint32_t>(spec.layers.size());
  info.width = spec.width;
  info.vocab = spec.vocab;
  info.context_max = spec.context_max;
  for (const LayerSpec& layer : spec.layers) {
    info.experts = std::max(info.experts, layer.ffn.router.experts);
    info.experts_used = std::max(info.experts_used, layer.ffn.router.experts_used);
  }
  info.bos = model.tokenizer().bos();
  info.eos = model.tokenizer().eos();
  spec.architecture.copy(info.architecture, sizeof(info.architecture) - 1);
  return info;
}

// Copies `count` elements to the caller, or only says how many there are.
template <class T>
Status GiveArray(const T* from, size_t count, T* dst, size_t capacity, size_t* size) {
  *size = count;
  if (dst == nullptr) return Status();
  if (capacity < count) {
    return Status::Make(Code::kShortBuffer, "room for %zu, %zu needed", capacity, count);
  }
  if (count != 0) std::memcpy(dst, from, count * sizeof(T));
  return Status();
}

// Ids that pad the vocabulary have no text, but a model may choose them.
Status Detokenize(const Model& model, Span<const junto_token> tokens, bool special, char* dst,
                  size_t capacity, size_t* size) {
  const Tokenizer& tokenizer = model.tokenizer();
  const auto shown = [&](junto_token token) {
    return special || !tokenizer.IsControl(token) ? tokenizer.Piece(token) : std::string_view();
  };
  size_t total = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || static_cast<uint32_t>(tokens[i]) >= model.spec().vocab) {
      return Status::Make(Code::kInvalid, "token %zu is %d, outside of a vocabulary of %u", i,
                          static_cast<int>(tokens[i]), model.spec().vocab);
    }
    total += shown(tokens[i]).size();
  }
  *size = total;
  if (dst == nullptr) return Status();
  if (capacity < total) {
    return Status::Make(Code::kShortBuffer, "room for %zu bytes, %zu needed", capacity, total);
  }
  for (junto_token token : tokens) {
    const std::string_view piece = shown(token);
    piece.copy(dst, piece.size());
    dst += piece.size();
  }
  return Status();
}

// A packed file may take the place of another or of nothing, never of a model, whatever its name.
Status CheckReplaceable(junto_runtime* runtime, std::string_view name) {
  Owned<File> file;
  if (!runtime->files->Open(name, &runtime->memory, &file).ok()) return Status();
  bool is_packed = false;
  JUNTO_TRY(Packed::Recognise(file.get(), &is_packed));
  if (is_packed || file->size() == 0) return Status();
  return Status::Make(Code::kInvalid,
                      "a file of %llu bytes has that name already, and is no packed file",
                      static_cast<unsigned long long>(file->size()));
}

}  // namespace

void Release(junto_model* model) {
  if (!model->references.Release()) return;
  junto_runtime* runtime = model->runtime;
  Destroy(runtime, model);
  Release(runtime);
}

}  // namespace junto

using namespace junto;  // NOLINT: this file is the C ABI of that namespace

extern "C" {

void junto_model_desc_init(junto_model_desc* d, size_t size) { InitStruct(d, size); }
void junto_model_info_init(junto_model_info* i, size_t size) { InitStruct(i, size); }

junto_status junto_model_load(junto_runtime* r, const char* name, size_t name_size,
                              const junto_model_desc* desc, junto_model** out, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (r == nullptr || name == nullptr || out == nullptr) return NullArgument("r, name or out");
    junto_model_desc taken;
    JUNTO_TRY(CheckName({name, name_size}));
    JUNTO_TRY(TakeDesc(desc, kModelFlags, &taken));
    JUNTO_TRY(CheckName({taken.source, taken.source_size}));
    const bool metadata_only = (taken.flags & JUNTO_MODEL_METADATA_ONLY) != 0;
    return LoadNamed(r, {name, name_size}, taken, metadata_only, out);
  });
}

junto_status junto_model_load_memory(junto_runtime* r, const void* data, uint64_t size,
                                     const junto_model_desc* desc, junto_model** out,
                                     junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (r == nullptr || data == nullptr || out == nullptr) return NullArgument("r, data or out");
    junto_model_desc taken;
    JUNTO_TRY(TakeDesc(desc, kModelFlags, &taken));
    JUNTO_TRY(CheckName({taken.source, taken.source_size}));
    LoadOptions options;
    options.metadata_only = (taken.flags & JUNTO_MODEL_METADATA_ONLY) != 0;
    options.in_place = false;  // the data is the caller's again when this returns
    const auto open = [&](Memory* memory, ModelFile* file) {
      return OpenModelFile(New<MemoryFile, File>(memory, Tag::kObject, data, size), memory, file);
    };
    return LoadModel(r, taken, options, open, out);
  });
}

junto_status junto_model_pack(junto_runtime* r, const char* name, size_t name_size,
                              const char* packed, size_t packed_size, const junto_model_desc* desc,
                              junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (r == nullptr || name == nullptr || packed == nullptr) {
      return NullArgument("r, name or packed");
    }
    constexpr uint32_t kPackFlags = JUNTO_MODEL_NO_MAP | JUNTO_MODEL_KEEP_CACHE;
    const std::string_view from(name, name_size);
    const std::string_view to(packed, packed_size);
    junto_model_desc taken;
    JUNTO_TRY(CheckName(from));
    JUNTO_TRY(CheckName(to));
    JUNTO_TRY(TakeDesc(desc, kPackFlags, &taken));
    if (from == to) {
      return Status::Make(Code::kInvalid, "both files have the same name of %zu bytes", to.size());
    }
    if (taken.expert_budget != 0) {
      return Status::Make(Code::kUnsupported, "expert_budget of %llu bytes: only loading takes one",
                          static_cast<unsigned long long>(taken.expert_budget));
    }
    if (taken.source != nullptr) {
      return Status::Make(Code::kUnsupported, "a source of %zu bytes: only loading takes one",
                          taken.source_size);
    }
    JUNTO_TRY(CheckReplaceable(r, to));
    junto_model* model = nullptr;
    JUNTO_TRY(LoadNamed(r, from, taken, true, &model));
    const std::unique_ptr<junto_model, void (*)(junto_model*)> released(
        model, [](junto_model* m) { Release(m); });
    return PackModel(model, to, taken);
  });
}

void junto_model_retain(junto_model* m) { m->references.Retain(); }
void junto_model_release(junto_model* m) {
  if (m != nullptr) Release(m);
}

junto_status junto_model_get_info(const junto_model* m, junto_model_info* out) {
  return Guard(nullptr, [&]() -> Status {
    if (m == nullptr || out == nullptr) return NullArgument("m or out");
    return GiveStruct(InfoOf(*m->model), out);
  });
}

junto_status junto_model_get_meta(const junto_model* m, const char* key, size_t key_size, char* dst,
                                  size_t capacity, size_t* size) {
  return Guard(nullptr, [&]() -> Status {
    if (m == nullptr || key == nullptr || size == nullptr) return NullArgument("m, key or size");
    return m->model->metadata().Format({key, key_size}, dst, capacity, size);
  });
}

junto_status junto_tokenize(const junto_model* m, const char* text, size_t text_size,
                            uint32_t flags, junto_token* dst, size_t capacity, size_t* count,
                            junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || (text == nullptr && text_size != 0) || count == nullptr) {
      return NullArgument("m, text or count");
    }
    constexpr uint32_t kFlags = JUNTO_TOKENIZE_ADD_BOS | JUNTO_TOKENIZE_PARSE_SPECIAL;
    if ((flags & ~kFlags) != 0) {
      return Status::Make(Code::kUnsupported, "tokenize flags 0x%x: a part of 0x%x expected",
                          static_cast<unsigned>(flags), static_cast<unsigned>(kFlags));
    }
    const std::string_view view(text, text_size);
    if (!IsUtf8(view)) {
      return Status::Make(Code::kInvalid, "text: byte %zu is not UTF-8", WholePrefix(view));
    }
    Vector<int32_t> tokens({&m->runtime->memory, Tag::kObject});
    JUNTO_TRY(m->model->tokenizer().Encode(view, (flags & JUNTO_TOKENIZE_ADD_BOS) != 0,
                                           (flags & JUNTO_TOKENIZE_PARSE_SPECIAL) != 0, &tokens));
    return GiveArray(tokens.data(), tokens.size(), dst, capacity, count);
  });
}

junto_status junto_detokenize(const junto_model* m, const junto_token* tokens, size_t count,
                              uint32_t flags, char* dst, size_t capacity, size_t* size,
                              junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || (tokens == nullptr && count != 0) || size == nullptr) {
      return NullArgument("m, tokens or size");
    }
    if ((flags & ~JUNTO_DETOKENIZE_SPECIAL) != 0) {
      return Status::Make(Code::kUnsupported, "detokenize flags 0x%x: at most 0x%x expected",
                          static_cast<unsigned>(flags), JUNTO_DETOKENIZE_SPECIAL);
    }
    if (!m->model->tokenizer().has_vocabulary()) {
      return Status::Make(Code::kUnsupported, "the file has no vocabulary: %zu tokens given",
                          count);
    }
    return Detokenize(*m->model, {tokens, count}, (flags & JUNTO_DETOKENIZE_SPECIAL) != 0, dst,
                      capacity, size);
  });
}

}  // extern "C"
