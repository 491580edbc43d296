// Models: loading, what they are, and their tokenizer.
#include "c_api/handles.h"

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
                                 JUNTO_MODEL_YARN_TRUNCATE | JUNTO_MODEL_KEEP_CACHE;

// `open` yields the Gguf in the new model's memory.
template <class F>
Status LoadModel(junto_runtime* runtime, const junto_model_desc* given, F&& open,
                 junto_model** out) {
  junto_model_desc desc;
  JUNTO_TRY(TakeStruct(given, sizeof(junto_model_desc), &desc));
  if ((desc.flags & ~kModelFlags) != 0) {
    return Status::Make(Code::kUnsupported, "model flags 0x%x: a part of 0x%x expected",
                        static_cast<unsigned>(desc.flags), static_cast<unsigned>(kModelFlags));
  }
  Progress progress(desc.progress, desc.progress_user);
  LoadOptions options;
  options.metadata_only = (desc.flags & JUNTO_MODEL_METADATA_ONLY) != 0;
  options.loader.map = (desc.flags & JUNTO_MODEL_NO_MAP) == 0;
  options.loader.keep_cache = (desc.flags & JUNTO_MODEL_KEEP_CACHE) != 0;
  options.model.yarn_truncate = (desc.flags & JUNTO_MODEL_YARN_TRUNCATE) != 0;
  if (desc.progress != nullptr) options.loader.progress = &progress;

  junto_model* handle = Create<junto_model>(runtime, runtime);
  runtime->references.Retain();
  Status status;
  try {
    Owned<Gguf> gguf;
    status = open(&handle->memory, &gguf);
    const Services services = {&handle->memory, runtime->executor.get(), runtime->kernels};
    if (status.ok()) status = Model::Load(std::move(gguf), services, options, &handle->model);
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

junto_model_info InfoOf(const Model& model) {
  const ModelSpec& spec = model.spec();
  const Model::Cost cost = model.DecodeCost();
  junto_model_info info = {};
  info.weight_bytes = model.weight_bytes();
  info.decode_bytes = cost.bytes;
  info.params_total = model.TotalParams();
  info.params_active = cost.params;
  info.layers = static_cast<uint32_t>(spec.layers.size());
  info.width = spec.width;
  info.vocab = spec.vocab;
  info.context_max = spec.context_max;
  info.experts = spec.layers[0].ffn.router.experts;
  info.experts_used = spec.layers[0].ffn.router.experts_used;
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
    const std::string_view path(name, name_size);
    if (!IsUtf8(path))
      return Status::Make(Code::kInvalid, "the name's %zu bytes are not UTF-8", name_size);
    const auto open = [&](Memory* memory, Owned<Gguf>* gguf) {
      return Gguf::Open(r->files.get(), path, memory, gguf);
    };
    return LoadModel(r, desc, open, out);
  });
}

junto_status junto_model_load_memory(junto_runtime* r, const void* data, uint64_t size,
                                     const junto_model_desc* desc, junto_model** out,
                                     junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (r == nullptr || data == nullptr || out == nullptr) return NullArgument("r, data or out");
    const auto open = [&](Memory* memory, Owned<Gguf>* gguf) {
      return Gguf::OpenFile(New<MemoryFile, File>(memory, Tag::kObject, data, size), memory, gguf);
    };
    return LoadModel(r, desc, open, out);
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
