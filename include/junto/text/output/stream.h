// OutputStream: generated tokens become text of channels, and end before a stop text.
#ifndef JUNTO_TEXT_OUTPUT_STREAM_H_
#define JUNTO_TEXT_OUTPUT_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/arena.h"
#include "junto/base/span.h"
#include "junto/base/status.h"
#include "junto/text/output/markup.h"
#include "junto/text/output/queue.h"
#include "junto/text/stop_texts.h"
#include "junto/text/utf8_stream.h"

namespace junto {

// What of a model's output is wanted besides content. Values equal JUNTO_OUTPUT_* in c_api/junto.h.
enum : uint32_t {
  kOutputReasoning = 1,
  kOutputCalls = 2,
  kOutputRaw = 4,  // nothing is told apart: all text is content, tags as well
  kOutputAll = 7,
};

// Holds back an incomplete code point, what a parser cannot tell yet, and of content what may
// become a stop text. Never allocates once laid out; one thread at a time.
class OutputStream final : private OutputSink {
 public:
  // Text and stretches of it that may wait when another token is taken.
  static constexpr size_t kWaitingText = 4096;
  static constexpr size_t kWaitingRuns = 256;

  OutputStream() = default;

  // Room for pieces of at most `piece_bytes`. `markup` outlives this object. Must be called twice,
  // measuring and placing.
  void LayOut(const OutputMarkup* markup, size_t piece_bytes, Arena* arena) {
    markup_ = markup;
    piece_room_ = RoomFor(markup->kind(), piece_bytes);
    const size_t bytes = kWaitingText + StopTexts::kMaxBytes + piece_room_;
    const size_t runs = kWaitingRuns + RunsOf(markup->kind(), piece_bytes);
    const size_t texts = markup->kind() == OutputKind::kTagged ? TextParameters::kMost : 0;
    texts_ = TextParameters({arena->Take<uint64_t>(texts), texts});
    char* text = arena->Take<char>(bytes);
    queue_ = OutputQueue({text, bytes}, {arena->Take<OutputQueue::Run>(runs), runs});
  }

  Status AddStop(std::string_view text) { return stops_.Add(text); }

  // Begins a new output; what nobody took is gone. `wanted` of kOutput*.
  void Start(uint32_t wanted) {
    wanted_ = wanted;
    queue_.Clear();
    stops_.Reset();
    stopped_ = failed_ = false;
    BeginReplay();
  }
  // Which parameters of calls in XML are texts, as ToolSchemas found; from the next output on.
  void SetTextParameters(Span<const uint64_t> entries) { texts_.Assign(entries); }
  // While muted, what is fed says only in what state the output is.
  void Mute(bool muted) { muted_ = muted; }
  // What was fed up to here is the prompt's.
  void EndPrompt() {
    ClearText();
    parser_->BeginAnswer();
  }

  // The same state as `other`, of the same shape, but for what a replay of all that was fed, muted,
  // makes anew. Save and Load are the same with bytes between.
  void CopyFrom(const OutputStream& other) {
    wanted_ = other.wanted_;
    texts_.CopyFrom(other.texts_);
    queue_.CopyFrom(other.queue_);
    stops_ = other.stops_;
    stopped_ = other.stopped_;
    failed_ = other.failed_;
    parser_ = ParserOf(wanted_);
  }
  // With to->Put and to->Bytes.
  template <class Writer>
  void Save(Writer* to) const {
    to->Put(wanted_);
    to->Put(static_cast<uint8_t>(stopped_));
    texts_.Save(to);
    queue_.Save(to);
    stops_.Save(to);
  }
  // With from->Get, Bytes and Require; without `apply` only checks it.
  template <class Reader>
  void Load(bool apply, Reader* from);
  void BeginReplay() {
    ClearText();
    parser_ = ParserOf(wanted_);
    parser_->Reset();
  }
  void EndReplay() { muted_ = false; }
  // Whether there are marks to be told.
  bool parses() const { return parser_ != &plain_; }

  // Takes the bytes of one token, or a mark of the markup. OK; DONE when a stop text is reached,
  // from then on nothing more is taken; E_SHORT_BUFFER, taking nothing, when too much waits.
  Status Feed(std::string_view piece) {
    JUNTO_TRY(CheckRoom());
    utf8_.Feed(piece, [this](std::string_view whole) { TakeText(whole); });
    return Result();
  }
  Status FeedMark(int mark) {
    JUNTO_TRY(CheckRoom());
    FlushText();
    parser_->Mark(mark);
    return Result();
  }

  // Ends the output: what was held back comes out. closed: the model itself ended it.
  void Finish(bool closed) {
    if (!stopped_) {
      FlushText();
      parser_->End(closed);
    }
    stops_.Reset();
  }

  // What comes first; valid until the next call of another function. Empty text: nothing waits.
  OutputPiece Front() const { return queue_.Front(stops_.held()); }
  void Consume(size_t bytes) { queue_.Consume(bytes); }

  // Whether something must be taken before more fits.
  bool blocked() const {
    return queue_.bytes() - stops_.held() > kWaitingText || queue_.runs() > kWaitingRuns;
  }
  bool stopped() const { return stopped_; }  // a stop text was reached
  // Whether a call that is wanted is complete.
  bool called() const { return (wanted_ & kOutputCalls) != 0 && parser_->calls() != 0; }

 private:
  // Parsers hold back so many bytes at most, and each byte becomes at most eight.
  static constexpr size_t kHeld = 6144;

  static size_t Decoded(size_t piece_bytes) {
    return Utf8Stream::Growth(Utf8Stream::kMaxHeld + piece_bytes);
  }
  static size_t RoomFor(OutputKind kind, size_t piece_bytes) {
    const size_t text = Decoded(piece_bytes);
    return kind == OutputKind::kPlain ? text : 8 * (text + kHeld);
  }
  static size_t RunsOf(OutputKind kind, size_t piece_bytes) {
    return kind == OutputKind::kPlain ? 1 : 2 * Decoded(piece_bytes) + 16;
  }

  OutputParser* ParserOf(uint32_t wanted) {
    OutputParser* parsers[] = {&plain_, &harmony_, &gemma_, &tagged_};
    const bool raw = (wanted & kOutputRaw) != 0;
    return raw ? &plain_ : parsers[static_cast<size_t>(markup_->kind())];
  }
  void ClearText() {
    utf8_ = Utf8Stream();
    tag_.Clear();
  }

  Status CheckRoom() const {
    if (muted_) return Status();
    if (stopped_) return Code::kDone;
    if ((piece_room_ > queue_.room() || queue_.runs() > kWaitingRuns)) {
      return Code::kShortBuffer;
    }
    return Status();
  }
  Status Result() const {
    if (failed_) {
      return Status::Make(Code::kInternal, "%zu bytes of output in %zu parts left no room",
                          queue_.bytes(), queue_.runs());
    }
    return stopped_ ? Status(Code::kDone) : Status();
  }

  // Looks for marks that are spelled in the text. Each begins with '<', has no other, and ends
  // with '>'.
  void TakeText(std::string_view whole) {
    for (const char c : whole) {
      if (c == '<') ReleaseTag();
      if (c != '<' && tag_.empty()) {
        parser_->Take(c);
        continue;
      }
      tag_.Add(c);
      const int mark = SpelledMark();
      if (mark >= 0) {
        tag_.Clear();
        parser_->Mark(mark);
      } else if (mark == kNoMark) {
        ReleaseTag();
      }
    }
  }
  void ReleaseTag() {
    for (const char c : tag_.view()) parser_->Take(c);
    tag_.Clear();
  }
  void FlushText() {
    utf8_.Flush([this](std::string_view whole) { TakeText(whole); });
    ReleaseTag();
  }

  static constexpr int kNoMark = -1;
  static constexpr int kMaybeMark = -2;
  int SpelledMark() const {
    if (parser_ == &plain_) return kNoMark;
    int found = kNoMark;
    for (size_t i = 0; i < markup_->marks().size(); ++i) {
      if (!markup_->spelled(i) || !StartsWith(markup_->marks()[i], tag_.view())) continue;
      found = markup_->marks()[i] == tag_.view() ? static_cast<int>(i) : kMaybeMark;
    }
    return found;
  }

  bool Wanted(Channel channel) const {
    if (channel == Channel::kContent) return true;
    return (wanted_ & (channel == Channel::kReasoning ? kOutputReasoning : kOutputCalls)) != 0;
  }

  void Emit(Channel channel, uint32_t call, std::string_view text) override {
    if (muted_ || stopped_ || failed_) return;
    if (channel != Channel::kContent) stops_.Reset();
    if (!Wanted(channel)) return;
    if (channel != Channel::kContent) {
      failed_ = !queue_.Add(channel, call, text);
      return;
    }
    for (const char c : text) {
      if (!queue_.Add(channel, call, {&c, 1})) failed_ = true;
      if (failed_) return;
      const size_t reached = stops_.Take(c);
      if (reached == 0) continue;
      queue_.Cut(reached);
      stops_.Reset();
      stopped_ = true;
      return;
    }
  }

  const OutputMarkup* markup_ = nullptr;
  size_t piece_room_ = 0;
  uint32_t wanted_ = 0;
  Utf8Stream utf8_;
  FixedText<16> tag_;  // that may become a mark
  StopTexts stops_;
  OutputQueue queue_;
  TextParameters texts_;
  PlainParser plain_{this};
  HarmonyParser harmony_{this};
  GemmaParser gemma_{this};
  TaggedParser tagged_{this, &texts_};
  OutputParser* parser_ = &plain_;
  bool stopped_ = false;
  bool failed_ = false;  // for want of room
  bool muted_ = false;
};

template <class Reader>
void OutputStream::Load(bool apply, Reader* from) {
  const auto wanted = from->template Get<uint32_t>();
  const auto stopped = from->template Get<uint8_t>();
  from->Require(wanted <= kOutputAll && stopped <= 1);
  texts_.Load(apply, from);
  OutputQueue queue = queue_;
  queue.Load(apply, from);
  StopTexts stops;
  stops.Load(stopped != 0, from);
  from->Require(queue.MayHold(stops.held()));
  if (!apply || !from->ok()) return;
  wanted_ = wanted;
  queue_ = queue;
  stops_ = stops;
  stopped_ = stopped != 0;
  failed_ = false;
  parser_ = ParserOf(wanted_);
}

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_STREAM_H_
