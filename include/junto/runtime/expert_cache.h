// ExpertCache: experts that are read from a file as passes need them, as many at a time as a budget
// holds; one for a model, shared by all of its sessions and batches.
//
// A pass holds experts only while it runs, and waits for room only while it holds none: so passes
// never wait for each other in a circle. Where they run by turns, in slices that end before their
// reads do, each would make room of what was just read for the other. So one of them has the turn:
// what it asked for stays until it was used, though the pass is interrupted. The turn goes to who
// asked first; a pass that does not come back loses it.
#ifndef JUNTO_RUNTIME_EXPERT_CACHE_H_
#define JUNTO_RUNTIME_EXPERT_CACHE_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

#include "junto/base/background.h"
#include "junto/base/checked.h"
#include "junto/base/file.h"
#include "junto/base/hash.h"
#include "junto/base/memory.h"
#include "junto/runtime/interrupt.h"

namespace junto {

// Where a layer's experts lie.
struct ExpertRecords {
  // Of the first, from the beginning of the weights; as strides, a multiple of kExpertAlignment.
  uint64_t offset = 0;
  uint64_t stride = 0;  // from one to the next
  uint64_t bytes = 0;   // of one, without what fills it up to the stride
  uint32_t count = 0;   // 0: the layer has no experts
  uint32_t used = 0;    // by a token
};

// What passes had of the cache.
struct ExpertCounters {
  uint64_t hits = 0;      // experts in memory when a pass came to them
  uint64_t misses = 0;    // others
  uint64_t foreseen = 0;  // of both, those that the layer before had predicted
  uint64_t bytes = 0;     // read; of what passes share, each read is counted for one of them
  uint64_t stall_ns = 0;  // waited, with nothing to compute

  void Add(const ExpertCounters& other) {
    hits += other.hits;
    misses += other.misses;
    foreseen += other.foreseen;
    bytes += other.bytes;
    stall_ns += other.stall_ns;
  }
};

// The experts that a pass needs of a layer, in the order in which it takes them: [0, done) are done
// with, [done, ready) are its wave, whose tiles run now, [ready, held) are on their way. It holds
// [done, held); while it is interrupted it holds nothing, and held is done.
struct ExpertWave {
  uint32_t* experts = nullptr;
  uint32_t count = 0;
  uint32_t layer = 0;
  uint32_t done = 0;
  uint32_t ready = 0;
  uint32_t held = 0;
  uint64_t ticket = 0;       // the less, the earlier it asked; 0: it does not ask
  uint64_t turn_visits = 0;  // of who has the turn, when it last looked
  uint32_t looks = 0;        // in vain, since then
};

class ExpertCache final : public Work {
 public:
  // Threads that read. More keep a fast disk busier, and each is asleep most of the time.
  static constexpr uint32_t kReaders = 4;
  // As many of them read what was foreseen: what is then asked for must not wait for all.
  static constexpr uint32_t kReadersAhead = 2;

  explicit ExpertCache(Memory* memory)
      : memory_(memory),
        layers_({memory, Tag::kObject}),
        hashes_({memory, Tag::kObject}),
        entries_({memory, Tag::kObject}),
        slots_({memory, Tag::kObject}) {}
  ~ExpertCache() override { background_.reset(); }  // before what its threads use

  // ---- before use, in this order

  // One call for each layer, in order.
  void AddLayer(const ExpertRecords& records) {
    layers_.push_back({records, total_});
    total_ += records.count;
    if (records.count == 0) return;
    slot_bytes_ = std::max(slot_bytes_, records.stride);
    most_used_ = std::max(most_used_, records.used);
  }
  // E_INVALID where `budget` bytes do not hold the experts of one token in one layer.
  Status Plan(uint64_t budget) {
    const uint64_t least = uint64_t{most_used_} * slot_bytes_;
    if (budget < least) {
      return Status::Make(Code::kInvalid,
                          "expert_budget of %llu bytes: at least %llu are needed for the %u "
                          "experts of a token",
                          static_cast<unsigned long long>(budget),
                          static_cast<unsigned long long>(least), most_used_);
    }
    slot_count_ = std::min<uint64_t>(budget / slot_bytes_, total_);
    return Status();
  }
  uint64_t bytes() const { return slot_count_ * slot_bytes_; }  // that Open takes, under WEIGHTS

  // What the records' bytes hash to, each layer's after the other; as many as AddLayer was told.
  Vector<uint64_t>* hashes() { return &hashes_; }
  uint32_t total() const { return total_; }

  // Reads records of weights that begin at `weights` in `file`, which outlives the cache, through
  // threads of `service`; where that is nullptr, through those that wait. E_MEMORY; throws
  // OutOfMemory.
  Status Open(File* file, uint64_t weights, BackgroundService* service) {
    file_ = file;
    weights_ = weights;
    JUNTO_TRY(Block::Allocate(memory_, bytes(), kAlignment, Tag::kWeights, &storage_));
    entries_.assign(total_, kNone);
    slots_.resize(slot_count_);
    for (uint32_t slot = 0; slot < slots_.size(); ++slot) Append(&idle_, slot);
    if (service == nullptr) return Status();
    JUNTO_TRY(service->Start(this, kReaders, memory_, &background_));
    readers_ = background_.get();
    return Status();
  }

  // ---- for passes; any thread

  bool Streams(uint32_t layer) const { return layers_[layer].records.count != 0; }

  // The bytes of an expert that a pass holds and that is ready.
  const uint8_t* Record(uint32_t layer, uint32_t expert) const {
    return Data(entries_[EntryOf(layer, expert)]);
  }

  // Counts what is there of a pass's experts and begins to read the others, as far as there is
  // room. Does not wait.
  void Ask(ExpertWave* wave, ExpertCounters* counters) {
    const std::lock_guard<std::mutex> lock(mutex_);
    wave->ticket = ++tickets_;
    for (uint32_t i = 0; i < wave->count; ++i) {
      const uint32_t slot = entries_[EntryOf(wave->layer, wave->experts[i])];
      const bool here = slot != kNone && slots_[slot].state == State::kReady;
      ++(here ? counters->hits : counters->misses);
    }
    Visit(wave);
    HoldMore(wave);
    ForgetForeseen(wave->layer);
    Charge(counters);
  }

  // Makes a wave of those of a pass's experts that are there, and waits while none is. YIELDED,
  // CANCELLED, or what a read reports: E_IO, E_FORMAT.
  Status Gather(ExpertWave* wave, Interrupt* interrupt, ExpertCounters* counters) {
    std::unique_lock<std::mutex> lock(mutex_);
    Account account(this, interrupt, counters);
    for (;;) {
      Visit(wave);
      HoldMore(wave);
      KeepRoomFor(*wave, wave->held == wave->done);
      JUNTO_TRY(Admit(wave));
      if (wave->ready > wave->done) return Status();
      JUNTO_TRY(Wait(wave, &lock, &account));
    }
  }

  // Holds the whole wave of a pass that had been interrupted; like Gather.
  Status HoldAgain(ExpertWave* wave, Interrupt* interrupt, ExpertCounters* counters) {
    if (wave->held >= wave->ready) return Status();
    std::unique_lock<std::mutex> lock(mutex_);
    Account account(this, interrupt, counters);
    for (;;) {
      Visit(wave);
      while (wave->held < wave->ready && HoldOne(*wave, wave->held)) ++wave->held;
      KeepRoomFor(*wave, wave->held != wave->ready);
      if (wave->held == wave->ready) {
        bool all_here = true;
        for (uint32_t i = wave->done; i < wave->ready; ++i) {
          const Slot& slot = SlotOf(*wave, i);
          if (slot.state == State::kFailed) return slot.failure;
          all_here = all_here && slot.state == State::kReady;
        }
        if (all_here) return Status();
      } else {
        Drop(wave, wave->done, wave->held);
        wave->held = wave->done;
      }
      JUNTO_TRY(Wait(wave, &lock, &account));
    }
  }

  // The wave's tiles have run; true: there are more experts.
  bool FinishWave(ExpertWave* wave) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uint32_t used = std::min(wave->ready, wave->held);
    for (uint32_t i = wave->done; i < used; ++i) {
      Slot& slot = SlotOf(*wave, i);
      if (slot.keeper == wave->ticket) slot.keeper = 0;
    }
    Drop(wave, wave->done, used);
    wave->done = wave->ready;
    wave->held = std::max(wave->held, wave->done);
    const bool more = wave->done < wave->count;
    if (!more || next_ != 0) EndTurn(wave);
    if (more && turn_ != wave->ticket) wave->ticket = ++tickets_;  // behind the others
    changed_.notify_all();
    return more;
  }

  // A pass stops running for now.
  void LetGo(ExpertWave* wave) {
    if (wave->held == wave->done) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    Drop(wave, wave->done, wave->held);
    wave->held = wave->done;
    changed_.notify_all();
  }

  // A pass stops for good.
  void GiveUp(ExpertWave* wave) {
    LetGo(wave);
    if (wave->ticket == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    EndTurn(wave);
    wave->ticket = 0;
    changed_.notify_all();
  }

  // Begins to read experts that some pass will likely want next, where nobody uses the room and as
  // far as nobody waits for another.
  void Foresee(uint32_t layer, const uint32_t* experts, uint32_t count) {
    if (readers_ == nullptr) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t entry = EntryOf(layer, experts[i]);
      if (entries_[entry] != kNone) continue;
      if (idle_.first == kNone || turn_lacks_) return;
      Assign(idle_.first, layer, experts[i], &ahead_);
    }
  }

  // ---- for threads that read

  bool DoSome() override {
    uint32_t at;
    bool ahead;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      at = NextToRead();
      if (at == kNone) return false;
      ahead = slots_[at].list == &ahead_;
      Remove(at);
      slots_[at].state = State::kReading;
      ++(ahead ? reading_ahead_ : reading_wanted_);
    }
    Slot& slot = slots_[at];
    Status status = Read(slot.layer, slot.expert, Data(at));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      --(ahead ? reading_ahead_ : reading_wanted_);
      uncharged_ += layers_[slot.layer].records.stride;
      // The disk goes on while this one is checked: with what nobody was allowed to read so far.
      if (readers_ != nullptr && NextToRead() != kNone) readers_->Wake();
    }
    if (status.ok()) status = CheckHash(slot.layer, slot.expert, Data(at));
    const std::lock_guard<std::mutex> lock(mutex_);
    slot.state = status.ok() ? State::kReady : State::kFailed;
    slot.failure = status;
    if (slot.holders == 0) Rest(at);
    changed_.notify_all();
    return true;
  }

 private:
  static constexpr uint64_t kAlignment = 4096;  // of records
  static constexpr uint32_t kNone = ~uint32_t{0};
  // How often a pass waits, a quarter of a millisecond or the rest of a slice, before it takes the
  // turn from one that did not come meanwhile.
  static constexpr uint32_t kPatience = 200;

  struct Layer {
    ExpertRecords records;
    uint32_t first;  // of its entries
  };

  enum class State : uint8_t { kEmpty, kQueued, kReading, kReady, kFailed };
  struct List {
    uint32_t first = kNone;
    uint32_t last = kNone;
  };
  // Room for one expert. In at most one list: of those that wait to be read, or of those that
  // nobody holds, least recently used first, those that are kept apart.
  struct Slot {
    uint32_t layer = 0;
    uint32_t expert = 0;
    uint32_t holders = 0;
    State state = State::kEmpty;
    uint64_t keeper = 0;  // ticket of the pass for which it stays as long as that has the turn
    List* list = nullptr;
    uint32_t before = kNone;
    uint32_t after = kNone;
    Status failure;
  };

  // Counts for a pass, however its call ends, what was read and the time from its first wait on.
  // Within the mutex.
  class Account {
   public:
    Account(ExpertCache* cache, Interrupt* interrupt, ExpertCounters* counters)
        : cache_(cache), interrupt_(interrupt), counters_(counters) {}
    ~Account() {
      if (waits_) counters_->stall_ns += interrupt_->Elapsed() - start_;
      cache_->Charge(counters_);
    }
    // CANCELLED, or YIELDED at the end of the time.
    Status Look() {
      if (interrupt_->Cancelled()) return Code::kCancelled;
      return interrupt_->Expired() ? Status(Code::kYielded) : Status();
    }
    void BeginWaiting() {
      if (!waits_) start_ = interrupt_->Elapsed();
      waits_ = true;
    }

   private:
    ExpertCache* cache_;
    Interrupt* interrupt_;
    ExpertCounters* counters_;
    uint64_t start_ = 0;
    bool waits_ = false;
  };

  uint32_t EntryOf(uint32_t layer, uint32_t expert) const { return layers_[layer].first + expert; }
  uint8_t* Data(uint32_t slot) const { return storage_.data() + slot * slot_bytes_; }
  Slot& SlotOf(const ExpertWave& wave, uint32_t i) {
    return slots_[entries_[EntryOf(wave.layer, wave.experts[i])]];
  }

  Status Read(uint32_t layer, uint32_t expert, uint8_t* to) const {
    const ExpertRecords& records = layers_[layer].records;
    return file_->ReadAt(weights_ + records.offset + expert * records.stride, to, records.stride);
  }
  Status CheckHash(uint32_t layer, uint32_t expert, const uint8_t* record) const {
    PlacedHash hash;
    hash.Add(0, record, layers_[layer].records.bytes);
    if (hash.value() == hashes_[EntryOf(layer, expert)]) return Status();
    return Status::Make(Code::kFormat,
                        "packed file: expert %u of layer %u is not what was packed: its hash is "
                        "%016llx",
                        expert, layer, static_cast<unsigned long long>(hash.value()));
  }

  // ---- all below with the mutex held

  void Append(List* list, uint32_t at) {
    Slot& slot = slots_[at];
    slot.list = list;
    slot.before = list->last;
    slot.after = kNone;
    (list->last == kNone ? list->first : slots_[list->last].after) = at;
    list->last = at;
  }
  void Prepend(List* list, uint32_t at) {
    Slot& slot = slots_[at];
    slot.list = list;
    slot.before = kNone;
    slot.after = list->first;
    (list->first == kNone ? list->last : slots_[list->first].before) = at;
    list->first = at;
  }
  void Remove(uint32_t at) {
    Slot& slot = slots_[at];
    if (slot.list == nullptr) return;
    (slot.before == kNone ? slot.list->first : slots_[slot.before].after) = slot.after;
    (slot.after == kNone ? slot.list->last : slots_[slot.after].before) = slot.before;
    slot.list = nullptr;
  }

  // What becomes of a slot that nobody holds and that is not to be read.
  void Rest(uint32_t at) {
    Slot& slot = slots_[at];
    if (slot.state == State::kReady) return Append(Kept(slot) ? &kept_ : &idle_, at);
    entries_[EntryOf(slot.layer, slot.expert)] = kNone;
    slot.state = State::kEmpty;
    Prepend(&idle_, at);
  }

  // What a thread reads next: what is foreseen only while nobody waits for what he asked for.
  uint32_t NextToRead() const {
    if (wanted_.first != kNone) return wanted_.first;
    return reading_wanted_ == 0 && reading_ahead_ < kReadersAhead ? ahead_.first : kNone;
  }

  // What was foreseen of a layer, was not asked for now, and is not yet being read.
  void ForgetForeseen(uint32_t layer) {
    for (uint32_t at = ahead_.first; at != kNone;) {
      const uint32_t next = slots_[at].after;
      if (slots_[at].layer == layer) {
        Remove(at);
        Rest(at);
      }
      at = next;
    }
  }

  void Charge(ExpertCounters* counters) {
    counters->bytes += uncharged_;
    uncharged_ = 0;
  }

  // Queues the reading of an expert into a slot that may be used for it.
  void Assign(uint32_t at, uint32_t layer, uint32_t expert, List* queue) {
    Slot& slot = slots_[at];
    Remove(at);
    if (slot.state != State::kEmpty) entries_[EntryOf(slot.layer, slot.expert)] = kNone;
    slot.layer = layer;
    slot.expert = expert;
    slot.keeper = 0;
    slot.state = State::kQueued;
    entries_[EntryOf(layer, expert)] = at;
    Append(queue, at);
    if (readers_ != nullptr) readers_->Wake();
  }

  // ---- whose turn it is

  bool Kept(const Slot& slot) const { return turn_ != 0 && slot.keeper == turn_; }

  // A pass looks for its experts: it gets the turn that nobody has, or that somebody left.
  void Visit(ExpertWave* wave) {
    if (wave->ticket == turn_) {
      ++turn_visits_;
      return;
    }
    if (wave->turn_visits != turn_visits_) wave->looks = 0;
    wave->turn_visits = turn_visits_;
    if (turn_ == 0 || wave->looks > kPatience) return GiveTurn(wave->ticket);
    if (next_ == 0 || wave->ticket < next_) next_ = wave->ticket;
  }
  // 0: to nobody.
  void GiveTurn(uint64_t ticket) {
    turn_ = ticket;
    turn_lacks_ = false;
    ++turn_visits_;
    if (next_ == ticket) next_ = 0;
    while (kept_.first != kNone) {
      const uint32_t at = kept_.first;
      Remove(at);
      Append(&idle_, at);
    }
  }
  // A pass waits no more, or anew.
  void EndTurn(const ExpertWave* wave) {
    if (wave->ticket == next_) next_ = 0;
    if (wave->ticket == turn_) GiveTurn(next_);
  }
  // Who has the turn and waits for room is the only one to take some.
  void KeepRoomFor(const ExpertWave& wave, bool lacks) {
    if (wave.ticket == turn_) turn_lacks_ = lacks;
  }

  // ---- holding

  // A slot that nobody holds: an idle one, or else one whose reading has not begun.
  uint32_t FindRoom(const ExpertWave& wave) const {
    if (turn_lacks_ && wave.ticket != turn_) return kNone;
    if (idle_.first != kNone) return idle_.first;
    if (ahead_.first != kNone) return ahead_.first;
    uint32_t at = wanted_.first;
    while (at != kNone && (slots_[at].holders != 0 || Kept(slots_[at]))) at = slots_[at].after;
    return at;
  }

  // Holds the wave's expert i, which will be read if it is not there. False: there is no room.
  bool HoldOne(const ExpertWave& wave, uint32_t i) {
    const uint32_t entry = EntryOf(wave.layer, wave.experts[i]);
    if (entries_[entry] == kNone) {
      const uint32_t room = FindRoom(wave);
      if (room == kNone) return false;
      Assign(room, wave.layer, wave.experts[i], &wanted_);
    }
    const uint32_t at = entries_[entry];
    Slot& slot = slots_[at];
    if (wave.ticket == turn_) slot.keeper = turn_;
    if (++slot.holders > 1) return true;
    if (slot.list == &idle_ || slot.list == &kept_) Remove(at);
    if (slot.list == &ahead_) {
      Remove(at);
      Append(&wanted_, at);
    }
    return true;
  }

  // Holds as many more of a pass's experts as there is room for, first those that are known.
  void HoldMore(ExpertWave* wave) {
    for (const bool known : {true, false}) {
      for (uint32_t i = wave->held; i < wave->count; ++i) {
        if (known && entries_[EntryOf(wave->layer, wave->experts[i])] == kNone) continue;
        if (!HoldOne(*wave, i)) return;
        std::swap(wave->experts[i], wave->experts[wave->held++]);
      }
    }
  }

  // Moves those that have been read into the wave.
  Status Admit(ExpertWave* wave) {
    for (uint32_t i = wave->ready; i < wave->held; ++i) {
      const Slot& slot = SlotOf(*wave, i);
      if (slot.state == State::kFailed) return slot.failure;
      if (slot.state == State::kReady) std::swap(wave->experts[i], wave->experts[wave->ready++]);
    }
    return Status();
  }

  // No longer holds a pass's experts [begin, end).
  void Drop(const ExpertWave* wave, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; ++i) {
      const uint32_t at = entries_[EntryOf(wave->layer, wave->experts[i])];
      Slot& slot = slots_[at];
      if (--slot.holders != 0) continue;
      if (slot.state == State::kReady || slot.state == State::kFailed) Rest(at);
    }
  }

  // Until something changes, or for so short that a wish to stop is seen in time.
  Status Wait(ExpertWave* wave, std::unique_lock<std::mutex>* lock, Account* account) {
    constexpr std::chrono::microseconds kLook(250);
    account->BeginWaiting();
    ++wave->looks;
    if (readers_ == nullptr) {
      lock->unlock();
      const bool did = DoSome();
      lock->lock();
      if (did) return account->Look();
    }
    JUNTO_TRY(account->Look());
    changed_.wait_for(*lock, kLook);
    return Status();
  }

  Memory* memory_;
  File* file_ = nullptr;
  uint64_t weights_ = 0;
  Vector<Layer> layers_;
  uint32_t total_ = 0;
  uint32_t most_used_ = 0;
  uint64_t slot_bytes_ = 0;
  uint64_t slot_count_ = 0;
  Vector<uint64_t> hashes_;  // of each expert
  Block storage_;

  std::mutex mutex_;
  std::condition_variable changed_;  // a read ended, or room came free
  Vector<uint32_t> entries_;         // the slot of each expert, or kNone
  Vector<Slot> slots_;
  List idle_;
  List wanted_;
  List ahead_;
  List kept_;
  uint64_t tickets_ = 0;      // given out
  uint64_t turn_ = 0;         // the ticket of the pass that has the turn; 0: none has
  uint64_t next_ = 0;         // the earliest of others that looked; 0: none did
  uint64_t turn_visits_ = 0;  // changes whenever the pass that has the turn looks
  bool turn_lacks_ = false;   // it waits for room
  uint32_t reading_wanted_ = 0;
  uint32_t reading_ahead_ = 0;
  uint64_t uncharged_ = 0;         // bytes read that no pass has counted yet
  Background* readers_ = nullptr;  // as long as they run; nullptr: who waits reads
  Owned<Background> background_;
};

}  // namespace junto

#endif  // JUNTO_RUNTIME_EXPERT_CACHE_H_
