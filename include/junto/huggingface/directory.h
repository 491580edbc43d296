// A directory of Hugging Face, read as the GGUF file that a converter would write of it.
#ifndef JUNTO_HUGGINGFACE_DIRECTORY_H_
#define JUNTO_HUGGINGFACE_DIRECTORY_H_

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>

#include "junto/base/file.h"
#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/huggingface/families.h"
#include "junto/huggingface/made_gguf.h"
#include "junto/io/packed.h"

namespace junto {
namespace hf {

constexpr std::string_view kConfigName = "config.json";

// Where the names of a directory's files begin: what comes before the last part of `name`.
inline size_t DirectorySize(std::string_view name) {
  const size_t slash = name.find_last_of("/\\");
  return slash == name.npos ? 0 : slash + 1;
}
inline bool IsConfigName(std::string_view name) {
  return name.substr(DirectorySize(name)) == kConfigName;
}

// Opens the files beside a config.json and makes a GGUF file of them.
class Directory {
 public:
  // `config_name` is the name of config.json; those of others differ in their last part.
  Directory(FileSystem* files, std::string_view config_name, Memory* memory)
      : files_(files),
        memory_(memory),
        path_(config_name.substr(0, DirectorySize(config_name)), {memory, Tag::kLoadTemp}),
        directory_size_(path_.size()),
        pairs_(memory),
        more_(memory),
        plan_(memory) {}

  // E_IO, E_FORMAT and E_UNSUPPORTED name the file, and the key or tensor. Throws OutOfMemory.
  Status Open(Owned<File> config, Owned<Gguf>* out) {
    String text({memory_, Tag::kLoadTemp});
    JUNTO_TRY(InFile(kConfigName, ReadText(config.get(), kMostConfig, &text)));
    JUNTO_TRY(InFile(kConfigName, ConfigReader(text, memory_).Read(&pairs_)));
    const Config keys(&pairs_);
    const Family* family = nullptr;
    JUNTO_TRY(InFile(kConfigName, FindFamily(keys, &family)));
    GgufHeader header(family->architecture, memory_);
    JUNTO_TRY(InFile(kConfigName, CheckQuantisation(keys)));
    JUNTO_TRY(InFile(kConfigName, family->copy(keys, &plan_, &header)));

    Owned<Shards> shards = New<Shards>(memory_, Tag::kObject, memory_);
    JUNTO_TRY(OpenShards(shards.get()));
    Owned<File> file = New<MadeGguf, File>(memory_, Tag::kObject, std::move(shards), memory_);
    auto* const made = static_cast<MadeGguf*>(file.get());
    RuleBook book(made->shards(), plan_.shapes, memory_);
    JUNTO_TRY(ApplyRules(keys, *family, made, &book));
    JUNTO_TRY(CopyTokens(keys, &header));
    JUNTO_TRY(CopyTemplate(&header));
    JUNTO_TRY(CopyTokenizer(&header, made));
    JUNTO_TRY(made->Finish(std::move(*book.tensors()), std::move(*book.pieces()), &header));

    Vector<Gguf::Part> parts({memory_, Tag::kLoadTemp});
    parts.push_back({std::move(file), made->header_bytes()});
    return Gguf::OpenParts(std::move(parts), memory_, out);
  }

 private:
  static constexpr uint64_t kMostConfig = uint64_t{1} << 20;  // bytes of a configuration
  static constexpr uint64_t kMostIndex = uint64_t{64} << 20;  // of the list of tensors
  static constexpr uint64_t kMostText = uint64_t{64} << 20;   // of files for text
  static constexpr uint32_t kMostShards = 4096;

  static unsigned long long Wide(uint64_t x) { return x; }

  std::string_view PathOf(std::string_view name) {
    path_.resize(directory_size_);
    path_.append(name);
    return path_;
  }

  Status OpenFile(std::string_view name, Owned<File>* file) {
    return files_->Open(PathOf(name), memory_, file);
  }

  // A file that need not be there: `*file` stays empty. Where the file system tells why it does not
  // open, only that it is not there is no failure.
  Status OpenOptional(std::string_view name, Owned<File>* file) {
    constexpr int kNoSuchFile = 2;
    const Status status = OpenFile(name, file);
    const bool absent =
        status.code() == Code::kIo && (status.os_error() == 0 || status.os_error() == kNoSuchFile);
    return absent ? Status() : InFile(name, status);
  }

  static Status ReadText(File* file, uint64_t most, String* text) {
    if (file->size() > most) {
      return Status::Make(Code::kFormat, "%llu bytes found, at most %llu expected",
                          Wide(file->size()), Wide(most));
    }
    text->resize(static_cast<size_t>(file->size()));
    return text->empty() ? Status() : file->ReadAt(0, &(*text)[0], text->size());
  }

  // The text of a file that need not be there.
  Status ReadOptional(std::string_view name, uint64_t most, String* text) {
    Owned<File> file;
    JUNTO_TRY(OpenOptional(name, &file));
    return file == nullptr ? Status() : InFile(name, ReadText(file.get(), most, text));
  }

  // Weights that are packed in ways of which tensors do not tell.
  static Status CheckQuantisation(const Config& config) {
    constexpr const char* kMethod = "quantization_config.quant_method";
    std::string_view method = "none";
    JUNTO_TRY(config.StringOr(kMethod, "none", &method));
    if (method == "none" || method == "mxfp4" || method == "fp8") return Status();
    method = Utf8Prefix(method, 32);
    return metadata::KeyError(Code::kUnsupported, config.Key(kMethod),
                              "%zu bytes '%.*s' found, mxfp4 or fp8 expected", method.size(),
                              static_cast<int>(method.size()), method.data());
  }

  // The files that the index names, or the only one.
  Status OpenShards(Shards* shards) {
    constexpr std::string_view kIndex = "model.safetensors.index.json";
    constexpr std::string_view kOnly = "model.safetensors";
    Owned<File> index;
    JUNTO_TRY(OpenOptional(kIndex, &index));
    if (index == nullptr) {
      JUNTO_TRY(AddShard(kOnly, shards));
      return shards->Finish();
    }
    String text({memory_, Tag::kLoadTemp});
    JUNTO_TRY(InFile(kIndex, ReadText(index.get(), kMostIndex, &text)));
    Vector<String> names({memory_, Tag::kLoadTemp});
    JUNTO_TRY(InFile(kIndex, ReadIndex(text, [&](std::string_view, const String& file) {
                       return AddName(file, &names);
                     })));
    for (const String& name : names) JUNTO_TRY(AddShard(name, shards));
    JUNTO_TRY(shards->Finish());
    return InFile(kIndex, ReadIndex(text, [&](std::string_view tensor, const String& file) {
                    return CheckPlace(tensor, file, names, shards);
                  }));
  }

  // Calls f(tensor, file) for {"weight_map": {"TENSOR": "FILE", ...}}.
  template <class F>
  Status ReadIndex(std::string_view text, const F& f) {
    JsonReader reader(text, memory_);
    uint32_t maps = 0;
    JUNTO_TRY(reader.Object([&](std::string_view key) -> Status {
      if (key != "weight_map") return reader.Skip();
      ++maps;
      return reader.Object([&](std::string_view tensor) -> Status {
        String file({memory_, Tag::kLoadTemp});
        JUNTO_TRY(reader.ReadString(&file));
        return f(tensor, file);
      });
    }));
    JUNTO_TRY(reader.End());
    if (maps == 1) return Status();
    return Status::Make(Code::kFormat, "key 'weight_map': found %u times, 1 expected", maps);
  }

  // Files lie in this directory; their names are kept in order.
  static Status AddName(const String& file, Vector<String>* names) {
    if (file.empty() || file.size() > 255 || DirectorySize(file) != 0 || file == "..") {
      return Status::Make(Code::kFormat,
                          "file name: %zu bytes found, 1 to 255 without a directory expected",
                          file.size());
    }
    const auto at = std::lower_bound(names->begin(), names->end(), file);
    if (at != names->end() && *at == file) return Status();
    if (names->size() == kMostShards) {
      return Status::Make(Code::kFormat, "more than %u files", kMostShards);
    }
    names->insert(at, file);
    return Status();
  }

  Status AddShard(std::string_view name, Shards* shards) {
    Owned<File> file;
    JUNTO_TRY(InFile(name, OpenFile(name, &file)));
    return InFile(name, shards->Add(std::move(file)));
  }

  static Status CheckPlace(std::string_view name, const String& file, const Vector<String>& names,
                           Shards* shards) {
    const SourceTensor* tensor = shards->Find(name);
    name = Utf8Prefix(name, 96);
    if (tensor == nullptr) {
      return Status::Make(Code::kFormat, "tensor '%.*s' is in none of %zu files",
                          static_cast<int>(name.size()), name.data(), names.size());
    }
    if (names[tensor->shard] == file) return Status();
    return Status::Make(Code::kFormat, "tensor '%.*s' is in file %u of %zu, not where it should be",
                        static_cast<int>(name.size()), name.data(), tensor->shard, names.size());
  }

  // The prefix of the text's tensors, of those that are in use.
  static Status FindPrefix(Shards* shards, const char** prefix) {
    char name[64];
    for (const char* one : {"model.", "model.language_model.", "language_model.model."}) {
      std::snprintf(name, sizeof(name), "%sembed_tokens.weight", one);
      *prefix = one;
      if (shards->Find(name) != nullptr) return Status();
    }
    return Status::Make(Code::kFormat, "tensor 'model.embed_tokens.weight' is missing among %zu",
                        shards->tensors().size());
  }

  Status ApplyRules(const Config& config, const Family& family, MadeGguf* made, RuleBook* book) {
    Shards* shards = made->shards();
    const char* prefix = nullptr;
    JUNTO_TRY(FindPrefix(shards, &prefix));
    const Rule globals[] = {{"token_embd.weight", "embed_tokens.weight"},
                            {"output_norm.weight", "norm.weight", View::kPlain, family.norm}};
    for (const Rule& rule : globals) JUNTO_TRY(book->Apply(rule, "", prefix));
    for (const Rule& rule : family.globals) JUNTO_TRY(book->Apply(rule, "", prefix));
    JUNTO_TRY(ApplyHead(config, shards, book));
    char ours[24];
    char theirs[64];
    for (uint32_t i = 0; i < plan_.shapes.layers; ++i) {
      std::snprintf(ours, sizeof(ours), "blk.%u.", i);
      std::snprintf(theirs, sizeof(theirs), "%slayers.%u.", prefix, i);
      for (const Rule& rule : family.layer) JUNTO_TRY(book->Apply(rule, ours, theirs));
    }
    *made->numbers() = std::move(plan_.rope_factors);
    if (!made->numbers()->empty()) book->AddValues("rope_freqs.weight", *made->numbers());
    return CheckAllUsed(prefix, shards);
  }

  // The head is the embedding where the configuration says so, or says nothing and there is none.
  static Status ApplyHead(const Config& config, Shards* shards, RuleBook* book) {
    constexpr Rule kHead = {"output.weight", "lm_head.weight"};
    bool tied = false;
    JUNTO_TRY(InFile(kConfigName, config.BoolOr("tie_word_embeddings", false, &tied)));
    for (const char* prefix : {"", "model.", "language_model."}) {
      char name[48];
      std::snprintf(name, sizeof(name), "%slm_head.weight", prefix);
      SourceTensor* head = shards->Find(name);
      if (head == nullptr) continue;
      head->used = true;
      return tied ? Status() : book->Apply(kHead, "", prefix);
    }
    if (tied || !config.Has("tie_word_embeddings")) return Status();
    return Status::Make(Code::kFormat, "tensor 'lm_head.weight' is missing among %zu",
                        shards->tensors().size());
  }

  // A tensor of the text that no rule takes would change what the model computes.
  static Status CheckAllUsed(std::string_view prefix, Shards* shards) {
    for (const SourceTensor& tensor : shards->tensors()) {
      const std::string_view name = tensor.name;
      if (tensor.used || name.substr(0, prefix.size()) != prefix) continue;
      const std::string_view rest = name.substr(prefix.size());
      const bool predicts = rest.substr(0, 4) == "mtp.";
      const bool derived = rest.find("rotary_emb.inv_freq") != rest.npos;
      if (predicts || derived) continue;
      return Shards::Error(Code::kUnsupported, tensor, "%llu bytes that the family does not know",
                           Wide(tensor.bytes));
    }
    return Status();
  }

  // Ids of the beginning and the ends of text, of the configuration for generation or of the
  // model's. Other ends a tokenizer knows by their spelling.
  Status CopyTokens(const Config& config, GgufHeader* header) {
    constexpr std::string_view kName = "generation_config.json";
    String text({memory_, Tag::kLoadTemp});
    JUNTO_TRY(ReadOptional(kName, kMostConfig, &text));
    if (!text.empty()) JUNTO_TRY(InFile(kName, ConfigReader(text, memory_).Read(&more_)));
    const Config generation(&more_);
    uint32_t bos = 0;
    for (const Config* from : {&generation, &config}) {
      if (!from->Has("bos_token_id")) continue;
      JUNTO_TRY(from->U32("bos_token_id", &bos));
      header->Id("tokenizer.ggml.bos_token_id", bos);
      break;
    }
    for (const Config* from : {&generation, &config}) {
      if (from->Has("eos_token_id")) return CopyEnds(*from->Find("eos_token_id"), header);
    }
    return Status();
  }

  static Status CopyEnds(const MetadataValue& ends, GgufHeader* header) {
    constexpr std::string_view kKeys[] = {"tokenizer.ggml.eos_token_id",
                                          "tokenizer.ggml.eot_token_id",
                                          "tokenizer.ggml.eom_token_id"};
    for (uint64_t i = 0; i < std::min<uint64_t>(ends.count, 3); ++i) {
      uint32_t id = 0;
      JUNTO_TRY(metadata::ToU32(ends, i, &id));
      header->Id(kKeys[i], id);
    }
    return Status();
  }

  // The template of chats, from a file of its own or from among the tokenizer's configuration.
  Status CopyTemplate(GgufHeader* header) {
    constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
    String text({memory_, Tag::kLoadTemp});
    JUNTO_TRY(ReadOptional("chat_template.jinja", kMostText, &text));
    if (text.empty()) {
      String json({memory_, Tag::kLoadTemp});
      JUNTO_TRY(ReadOptional(kTokenizerConfig, kMostText, &json));
      if (!json.empty()) JUNTO_TRY(InFile(kTokenizerConfig, ReadTemplate(json, &text)));
    }
    if (!text.empty()) header->String("tokenizer.chat_template", text);
    return Status();
  }

  // {"chat_template": "TEXT"}, or [{"name": "default", "template": "TEXT"}, ...].
  Status ReadTemplate(std::string_view json, String* text) {
    JsonReader reader(json, memory_);
    JUNTO_TRY(reader.Object([&](std::string_view key) -> Status {
      JsonKind kind = JsonKind::kNull;
      JUNTO_TRY(reader.Peek(&kind));
      if (key != "chat_template") return reader.Skip();
      text->clear();
      if (kind == JsonKind::kString) return reader.ReadString(text);
      if (kind != JsonKind::kArray) return reader.Skip();
      return reader.Array([&] { return ReadNamedTemplate(&reader, text); });
    }));
    return reader.End();
  }

  Status ReadNamedTemplate(JsonReader* reader, String* text) {
    String name({memory_, Tag::kLoadTemp});
    String body({memory_, Tag::kLoadTemp});
    JUNTO_TRY(reader->Object([&](std::string_view key) -> Status {
      if (key == "name") return reader->ReadString(&name);
      return key == "template" ? reader->ReadString(&body) : reader->Skip();
    }));
    if (name == "default") text->swap(body);
    return Status();
  }

  // The tokenizer's file goes into the header as it is. Without one there is no vocabulary.
  Status CopyTokenizer(GgufHeader* header, MadeGguf* made) {
    constexpr const char* kFiles[][2] = {{"tokenizer.json", Gguf::kTokenizerJson},
                                         {"tokenizer.model", Gguf::kTokenizerModel}};
    for (const auto& [name, key] : kFiles) {
      Owned<File> file;
      JUNTO_TRY(OpenOptional(name, &file));
      if (file == nullptr) continue;
      header->BeginString(key, file->size());
      made->PutString(*header, std::move(file));
      return Status();
    }
    header->String("tokenizer.ggml.model", "no_vocab");
    return Status();
  }

  FileSystem* files_;
  Memory* memory_;
  String path_;
  size_t directory_size_;
  Metadata pairs_;  // config.json
  Metadata more_;   // generation_config.json
  Plan plan_;
};

}  // namespace hf

// Opens `name`, whichever kind of model it is: a GGUF file, a packed one, the config.json of a
// directory of Hugging Face, or such a directory, which is then what does not open.
inline Status OpenModel(FileSystem* files, std::string_view name, Memory* memory, ModelFile* out) {
  Owned<File> config;
  const bool named = hf::IsConfigName(name);
  if (!named) {
    Owned<File> file;
    const Status status = files->Open(name, memory, &file);
    if (status.ok()) return OpenModelFile(std::move(file), files, name, memory, out);
    String path(name, {memory, Tag::kLoadTemp});
    if (hf::DirectorySize(name) != name.size()) path.push_back('/');
    path.append(hf::kConfigName);
    if (status.code() != Code::kIo || !files->Open(path, memory, &config).ok()) return status;
    return hf::Directory(files, path, memory).Open(std::move(config), &out->gguf);
  }
  JUNTO_TRY(files->Open(name, memory, &config));
  return hf::Directory(files, name, memory).Open(std::move(config), &out->gguf);
}

}  // namespace junto

#endif  // JUNTO_HUGGINGFACE_DIRECTORY_H_
