// Sessions and batches.
#include "c_api/handles.h"

namespace junto {
namespace {

// Hands chunks of one session to the host's stream function.
class StreamSink final : public ChunkSink {
 public:
  StreamSink(junto_stream_fn fn, void* user, junto_session* session)
      : fn_(fn), user_(user), session_(session) {}

  Status Take(const OutputPiece& piece, Span<const int32_t> tokens) override {
    junto_chunk chunk = {};
    chunk.struct_size = sizeof(chunk);
    chunk.session = session_;
    chunk.text = piece.text.data();
    chunk.text_size = piece.text.size();
    chunk.channel = static_cast<junto_channel>(piece.channel);
    chunk.call = piece.call;
    chunk.tokens = tokens.data();
    chunk.token_count = tokens.size();
    const junto_status answer = fn_(user_, &chunk);
    return answer > 0 ? Status(Code::kDone) : FromCallback(answer, "the stream callback");
  }

 private:
  junto_stream_fn fn_;
  void* user_;
  junto_session* session_;
};

// The same for a batch: one sink, pointed at whose turn it is.
class BatchStreamSink final : public BatchSink {
 public:
  BatchStreamSink(junto_stream_fn fn, void* user, const junto_batch* batch)
      : fn_(fn), user_(user), batch_(batch), sink_(fn, user, nullptr) {}

  ChunkSink* Of(Session* session) override {
    if (fn_ == nullptr) return nullptr;
    for (junto_session* handle : batch_->sessions) {
      if (handle->session.get() == session) sink_ = StreamSink(fn_, user_, handle);
    }
    return &sink_;
  }

 private:
  junto_stream_fn fn_;
  void* user_;
  const junto_batch* batch_;
  StreamSink sink_;
};

// Holds the seats of all sessions of a batch, whose own seat keeps the list as it is.
class SessionSeats {
 public:
  explicit SessionSeats(const Vector<junto_session*>& sessions) : sessions_(sessions) {
    while (taken_ < sessions_.size() && !sessions_[taken_]->busy.exchange(true)) ++taken_;
  }
  ~SessionSeats() {
    while (taken_ > 0) sessions_[--taken_]->busy.store(false);
  }
  SessionSeats(const SessionSeats&) = delete;
  SessionSeats& operator=(const SessionSeats&) = delete;

  Status status() const {
    if (taken_ == sessions_.size()) return Status();
    return Status::Make(Code::kBusy, "busy: another call on session %zu of the batch is running",
                        taken_);
  }

 private:
  const Vector<junto_session*>& sessions_;
  size_t taken_ = 0;
};

class HostLogits final : public LogitsSink {
 public:
  HostLogits(junto_logits_fn fn, void* user) : fn_(fn), user_(user) {}
  Status Take(uint64_t position, const float* logits, size_t vocab) override {
    const junto_status answer = fn_(user_, position, logits, vocab);
    return answer > 0 ? Status(Code::kDone) : FromCallback(answer, "the logits callback");
  }

 private:
  junto_logits_fn fn_;
  void* user_;
};

Status TakeSessionSpec(const junto_session_desc* given, SessionSpec* spec) {
  junto_session_desc desc;
  JUNTO_TRY(TakeStruct(given, offsetof(junto_session_desc, checkpoint_bytes), &desc));
  if (desc.flags != 0 || desc.reserved != 0) {
    return Status::Make(Code::kUnsupported, "session flags 0x%x, reserved %u: 0 expected",
                        static_cast<unsigned>(desc.flags), static_cast<unsigned>(desc.reserved));
  }
  spec->context = desc.context_tokens;
  spec->chunk = desc.prefill_chunk;
  spec->checkpoint_bytes = desc.checkpoint_bytes;
  spec->max_forks = desc.max_forks;
  spec->fork_tokens = desc.fork_tokens;
  switch (desc.kv_dtype) {
    case JUNTO_DTYPE_AUTO:
    case JUNTO_F16:
      spec->kv_type = KvType::kF16;
      return Status();
    case JUNTO_BF16:
      spec->kv_type = KvType::kBF16;
      return Status();
    case JUNTO_F32:
      spec->kv_type = KvType::kF32;
      return Status();
    default:
      return Status::Make(Code::kInvalid, "kv_dtype %d: F32, F16 or BF16 expected",
                          static_cast<int>(desc.kv_dtype));
  }
}

Status TakeSampling(const junto_sampling& given, SamplingSpec* spec, uint32_t* max_new_tokens) {
  junto_sampling sampling;
  JUNTO_TRY(TakeStruct(&given, sizeof(junto_sampling), &sampling));
  if (sampling.flags != 0 || sampling.reserved != 0) {
    return Status::Make(Code::kUnsupported, "sampling flags 0x%x, reserved %u: 0 expected",
                        static_cast<unsigned>(sampling.flags),
                        static_cast<unsigned>(sampling.reserved));
  }
  spec->seed = sampling.seed;
  spec->temperature = sampling.temperature;
  spec->top_p = sampling.top_p == 0.0f ? 1.0f : sampling.top_p;
  spec->min_p = sampling.min_p;
  spec->repeat_penalty = sampling.repeat_penalty == 0.0f ? 1.0f : sampling.repeat_penalty;
  spec->presence_penalty = sampling.presence_penalty;
  spec->frequency_penalty = sampling.frequency_penalty;
  spec->top_k = sampling.top_k;
  spec->penalty_window = sampling.penalty_window == 0 ? 64 : sampling.penalty_window;
  *max_new_tokens = sampling.max_new_tokens;
  return CheckSampling(*spec);
}

Status SetBiases(Session* session, Span<const junto_token> tokens, const float* biases) {
  if (tokens.size() > Generation::kMaxBiases) {
    return Status::Make(Code::kInvalid, "%zu biases: at most %u are kept", tokens.size(),
                        static_cast<unsigned>(Generation::kMaxBiases));
  }
  const uint32_t vocab = session->model().spec().vocab;
  TokenBias checked[Generation::kMaxBiases];
  for (size_t i = 0; i < tokens.size(); ++i) {
    checked[i] = {tokens[i], biases[i]};
    if (Generation::IsBias(checked[i], vocab)) continue;
    return Status::Make(Code::kInvalid,
                        "bias %zu adds %g to token %d: a number or -infinity, and one of %u tokens "
                        "expected",
                        i, static_cast<double>(biases[i]), static_cast<int>(tokens[i]), vocab);
  }
  session->generation().SetBiases({checked, tokens.size()});
  return Status();
}

Status CheckTag(junto_tag tag) {
  if (tag >= 0 && tag < kTagCount) return Status();
  return Status::Make(Code::kInvalid, "tag %d: 0 to %d expected", static_cast<int>(tag),
                      kTagCount - 1);
}

Status PlanOf(const junto_model& model, const SessionSpec& spec, junto_tag tag, uint64_t* bytes) {
  SessionPlan plan;
  JUNTO_TRY(Session::Plan(*model.model, spec, &plan));
  switch (tag) {
    case JUNTO_TAG_OBJECT:
      *bytes = plan.object + spec.family() * sizeof(junto_session);
      return Status();
    case JUNTO_TAG_WEIGHTS:
      *bytes = model.model->weight_bytes() - model.model->mapped_bytes();
      return Status();
    case JUNTO_TAG_MAPPED:
      *bytes = model.model->mapped_bytes();
      return Status();
    case JUNTO_TAG_KV:
      *bytes = plan.kv;
      return Status();
    case JUNTO_TAG_SCRATCH:
      *bytes = plan.scratch;
      return Status();
    case JUNTO_TAG_TOKENIZER:
      *bytes = model.tokenizer_bytes;
      return Status();
    case JUNTO_TAG_LOAD_TEMP:
      *bytes = std::max(model.model->load_bytes(), model.memory.peak(Tag::kLoadTemp));
      return Status();
    case JUNTO_TAG_THREAD:
    case JUNTO_TAG_EXTERNAL:
      *bytes = 0;
      return Status();
    default:
      return CheckTag(tag);
  }
}

// Keeps a handle alive while a call runs, whose callbacks may release it.
template <class T>
class Keep {
 public:
  explicit Keep(T* handle) : handle_(handle) { handle->references.Retain(); }
  ~Keep() { Release(handle_); }
  Keep(const Keep&) = delete;
  Keep& operator=(const Keep&) = delete;

 private:
  T* handle_;
};

// Runs f on a session that nobody else uses.
template <class F>
junto_status WithSession(junto_session* s, junto_error* err, F&& f) {
  return Guard(err, [&]() -> Status {
    if (s == nullptr) return NullArgument("s");
    const Keep<junto_session> keep(s);
    const Seat seat(&s->busy);
    JUNTO_TRY(seat.status());
    return f(s->session.get());
  });
}

// Moves what fits of the first pending text, whole code points only. *piece says what it was.
void ReadText(OutputStream* output, char* dst, size_t capacity, OutputPiece* piece) {
  *piece = output->Front();
  const std::string_view text = piece->text;
  size_t whole = std::min(capacity, text.size());
  while (whole > 0 && whole < text.size() && (text[whole] & 0xC0) == 0x80) --whole;
  if (whole != 0) std::memcpy(dst, text.data(), whole);
  output->Consume(whole);
  piece->text = {dst, whole};
}

}  // namespace

void Release(junto_session* session) {
  if (!session->references.Release()) return;
  junto_model* model = session->model;
  Destroy(model->runtime, session);
  Release(model);
}

void Release(junto_batch* batch) {
  if (!batch->references.Release()) return;
  for (junto_session* session : batch->sessions) Release(session);
  junto_model* model = batch->model;
  Destroy(model->runtime, batch);
  Release(model);
}

}  // namespace junto

using namespace junto;  // NOLINT: this file is the C ABI of that namespace

extern "C" {

void junto_session_desc_init(junto_session_desc* d, size_t size) { InitStruct(d, size); }
void junto_sampling_init(junto_sampling* s, size_t size) { InitStruct(s, size); }
void junto_usage_init(junto_usage* u, size_t size) { InitStruct(u, size); }
void junto_chunk_init(junto_chunk* c, size_t size) { InitStruct(c, size); }

junto_status junto_session_plan(const junto_model* m, const junto_session_desc* desc, junto_tag tag,
                                uint64_t* bytes, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || bytes == nullptr) return NullArgument("m or bytes");
    SessionSpec spec;
    JUNTO_TRY(TakeSessionSpec(desc, &spec));
    return PlanOf(*m, spec, tag, bytes);
  });
}

junto_status junto_session_create(junto_model* m, const junto_session_desc* desc,
                                  junto_session** out, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || out == nullptr) return NullArgument("m or out");
    SessionSpec spec;
    JUNTO_TRY(TakeSessionSpec(desc, &spec));
    Owned<Session> session;
    JUNTO_TRY(Session::Create(*m->model, &m->runtime->clock, spec, &session));
    junto_session* handle = Create<junto_session>(m->runtime, m);
    handle->session = std::move(session);
    m->references.Retain();
    *out = handle;
    return Status();
  });
}

junto_status junto_session_fork(junto_session* s, junto_session** out, junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (out == nullptr) return NullArgument("out");
    Owned<Session> fork;
    JUNTO_TRY(session->Fork(&fork));
    junto_session* handle = Create<junto_session>(s->model->runtime, s->model);
    handle->session = std::move(fork);
    s->model->references.Retain();
    *out = handle;
    return Status();
  });
}

junto_status junto_session_rewind(junto_session* s, uint64_t position, junto_error* err) {
  return WithSession(s, err, [&](Session* session) { return session->Rewind(position); });
}

junto_status junto_session_snapshot(junto_session* s, void* dst, size_t capacity, size_t* size,
                                    junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (size == nullptr) return NullArgument("size");
    const uint64_t needed = session->SnapshotBytes();
    if (static_cast<size_t>(needed) != needed) {
      return Status::Make(Code::kUnsupported, "a snapshot of %llu bytes: more than pointers reach",
                          static_cast<unsigned long long>(needed));
    }
    *size = static_cast<size_t>(needed);
    if (dst == nullptr) return Status();
    if (capacity < *size) {
      return Status::Make(Code::kShortBuffer, "room for %zu bytes, %zu needed", capacity, *size);
    }
    session->Snapshot(static_cast<uint8_t*>(dst));
    return Status();
  });
}

junto_status junto_session_restore(junto_session* s, const void* data, size_t size,
                                   junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (data == nullptr) return NullArgument("data");
    return session->Restore({static_cast<const uint8_t*>(data), size});
  });
}

void junto_session_release(junto_session* s) {
  if (s != nullptr) Release(s);
}

junto_status junto_session_set_sampling(junto_session* s, const junto_sampling* p,
                                        junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (p == nullptr) return NullArgument("p");
    SamplingSpec sampling;
    uint32_t max_new_tokens = 0;
    JUNTO_TRY(TakeSampling(*p, &sampling, &max_new_tokens));
    session->generation().sampling = sampling;
    session->generation().max_new_tokens = max_new_tokens;
    return Status();
  });
}

junto_status junto_session_add_stop(junto_session* s, const char* text, size_t size,
                                    junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (text == nullptr) return NullArgument("text");
    return session->generation().output().AddStop({text, size});
  });
}

junto_status junto_session_set_bias(junto_session* s, const junto_token* tokens,
                                    const float* biases, size_t count, junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (count != 0 && (tokens == nullptr || biases == nullptr)) {
      return NullArgument("tokens or biases");
    }
    return SetBiases(session, {tokens, count}, biases);
  });
}

junto_status junto_session_prefill(junto_session* s, const junto_prompt* p, junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (p == nullptr) return NullArgument("p");
    if (p->model != s->model) {
      return Status::Make(Code::kMismatch, "the prompt is for another of 2 models");
    }
    const Seat seat(&const_cast<junto_prompt*>(p)->busy);
    JUNTO_TRY(seat.status());
    return session->Prefill(p->prompt);
  });
}

junto_status junto_session_step(junto_session* s, uint64_t budget_ns, junto_stream_fn fn,
                                void* user, junto_error* err) {
  return WithSession(s, err, [&](Session* session) {
    StreamSink sink(fn, user, s);
    return session->Step(budget_ns, fn == nullptr ? nullptr : &sink);
  });
}

junto_status junto_session_generate(junto_session* s, junto_stream_fn fn, void* user,
                                    junto_error* err) {
  return junto_session_step(s, UINT64_MAX, fn, user, err);
}

junto_status junto_session_read(junto_session* s, char* dst, size_t capacity, size_t* size) {
  return WithSession(s, nullptr, [&](Session* session) -> Status {
    if ((dst == nullptr && capacity != 0) || size == nullptr) return NullArgument("dst or size");
    OutputPiece piece;
    ReadText(&session->generation().output(), dst, capacity, &piece);
    *size = piece.text.size();
    return Status();
  });
}

junto_status junto_session_set_output(junto_session* s, uint32_t flags, junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    constexpr uint32_t kKnown = JUNTO_OUTPUT_REASONING | JUNTO_OUTPUT_TOOL_CALLS | JUNTO_OUTPUT_RAW;
    if ((flags & ~kKnown) != 0) {
      return Status::Make(Code::kUnsupported, "output flags 0x%x: of 0x%x expected",
                          static_cast<unsigned>(flags), static_cast<unsigned>(kKnown));
    }
    session->generation().wanted = flags;
    return Status();
  });
}

junto_status junto_session_read_chunk(junto_session* s, char* dst, size_t capacity,
                                      junto_chunk* chunk) {
  return WithSession(s, nullptr, [&](Session* session) -> Status {
    if ((dst == nullptr && capacity != 0) || chunk == nullptr) {
      return NullArgument("dst or chunk");
    }
    OutputStream& output = session->generation().output();
    junto_chunk given = {};
    JUNTO_TRY(GiveStruct(given, chunk));
    if (output.Front().text.empty()) return Code::kDone;
    OutputPiece piece;
    ReadText(&output, dst, capacity, &piece);
    if (piece.text.empty()) return Code::kShortBuffer;
    given.session = s;
    given.text = dst;
    given.text_size = piece.text.size();
    given.channel = static_cast<junto_channel>(piece.channel);
    given.call = piece.call;
    return GiveStruct(given, chunk);
  });
}

void junto_session_cancel(junto_session* s) {
  if (s != nullptr) s->session->Cancel();
}

junto_status junto_session_evaluate(junto_session* s, junto_logits_fn fn, void* user,
                                    junto_error* err) {
  return WithSession(s, err, [&](Session* session) -> Status {
    if (fn == nullptr) return NullArgument("fn");
    HostLogits sink(fn, user);
    return session->Evaluate(&sink);
  });
}

junto_status junto_session_get_usage(const junto_session* s, junto_usage* out) {
  return WithSession(const_cast<junto_session*>(s), nullptr, [&](Session* session) -> Status {
    if (out == nullptr) return NullArgument("out");
    const Usage usage = session->usage();
    junto_usage given = {};
    given.stop = static_cast<junto_stop>(usage.stop);
    given.position = usage.position;
    given.prompt_tokens = usage.prompt_tokens;
    given.cached_tokens = usage.cached_tokens;
    given.new_tokens = usage.new_tokens;
    given.prefill_ns = usage.prefill_ns;
    given.decode_ns = usage.decode_ns;
    given.first_token_ns = usage.first_token_ns;
    given.overshoot_max_ns = usage.overshoot_max_ns;
    given.prefill_joins = usage.prefill_joins;
    given.decode_joins = usage.decode_joins;
    given.expert_hits = usage.experts.hits;
    given.expert_misses = usage.experts.misses;
    given.expert_foreseen = usage.experts.foreseen;
    given.expert_read_bytes = usage.experts.bytes;
    given.expert_stall_ns = usage.experts.stall_ns;
    return GiveStruct(given, out);
  });
}

junto_status junto_batch_plan(const junto_model* m, uint32_t max_sessions,
                              uint32_t max_tokens_per_pass, junto_tag tag, uint64_t* bytes,
                              junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || bytes == nullptr) return NullArgument("m or bytes");
    JUNTO_TRY(CheckTag(tag));
    Batch::BatchPlan plan;
    JUNTO_TRY(Batch::Plan(*m->model, max_sessions, max_tokens_per_pass, &plan));
    *bytes = 0;
    if (tag == JUNTO_TAG_SCRATCH) *bytes = plan.scratch;
    if (tag == JUNTO_TAG_OBJECT) {
      *bytes = plan.object + sizeof(junto_batch) + uint64_t{max_sessions} * sizeof(junto_session*);
    }
    return Status();
  });
}

junto_status junto_batch_create(junto_model* m, uint32_t max_sessions, uint32_t max_tokens_per_pass,
                                junto_batch** out, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (m == nullptr || out == nullptr) return NullArgument("m or out");
    Owned<Batch> batch;
    JUNTO_TRY(
        Batch::Create(*m->model, &m->runtime->clock, max_sessions, max_tokens_per_pass, &batch));
    junto_batch* handle = Create<junto_batch>(m->runtime, m, max_sessions);
    handle->batch = std::move(batch);
    m->references.Retain();
    *out = handle;
    return Status();
  });
}

void junto_batch_release(junto_batch* b) {
  if (b != nullptr) Release(b);
}

junto_status junto_batch_add(junto_batch* b, junto_session* s, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (b == nullptr || s == nullptr) return NullArgument("b or s");
    const Seat batch_seat(&b->busy);
    JUNTO_TRY(batch_seat.status());
    const Seat seat(&s->busy);
    JUNTO_TRY(seat.status());
    JUNTO_TRY(b->batch->Add(s->session.get()));
    b->sessions.push_back(s);
    s->references.Retain();
    return Status();
  });
}

junto_status junto_batch_remove(junto_batch* b, junto_session* s, junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (b == nullptr || s == nullptr) return NullArgument("b or s");
    const Seat seat(&b->busy);
    JUNTO_TRY(seat.status());
    JUNTO_TRY(b->batch->Remove(s->session.get()));
    b->sessions.erase(std::find(b->sessions.begin(), b->sessions.end(), s));
    Release(s);
    return Status();
  });
}

junto_status junto_batch_step(junto_batch* b, uint64_t budget_ns, junto_stream_fn fn, void* user,
                              junto_error* err) {
  return Guard(err, [&]() -> Status {
    if (b == nullptr) return NullArgument("b");
    const Keep<junto_batch> keep(b);
    const Seat seat(&b->busy);
    JUNTO_TRY(seat.status());
    const SessionSeats seats(b->sessions);
    JUNTO_TRY(seats.status());
    BatchStreamSink sink(fn, user, b);
    return b->batch->Step(budget_ns, &sink);
  });
}

}  // extern "C"
