import CJunto

/// Where all memory comes from. Called from any thread; nil refuses.
public protocol Allocator: AnyObject {
  func allocate(size: Int, alignment: Int, tag: junto_tag) -> UnsafeMutableRawPointer?
  func deallocate(_ memory: UnsafeMutableRawPointer, size: Int, alignment: Int, tag: junto_tag)
}

/// What a runtime's callbacks use. All objects under the runtime hold it.
final class Services {
  let allocator: Allocator

  init(_ allocator: Allocator) { self.allocator = allocator }

  var callbacks: junto_allocator {
    var callbacks = junto_allocator()
    callbacks.struct_size = UInt32(MemoryLayout<junto_allocator>.size)
    callbacks.user = Unmanaged.passUnretained(self).toOpaque()
    callbacks.allocate = { user, size, alignment, tag in
      let services = Unmanaged<Services>.fromOpaque(user!).takeUnretainedValue()
      return services.allocator.allocate(size: size, alignment: alignment, tag: tag)
    }
    callbacks.deallocate = { user, memory, size, alignment, tag in
      let services = Unmanaged<Services>.fromOpaque(user!).takeUnretainedValue()
      services.allocator.deallocate(memory!, size: size, alignment: alignment, tag: tag)
    }
    return callbacks
  }
}

/// The services of the host, for all threads.
public final class Runtime: @unchecked Sendable {
  let raw: OpaquePointer
  let services: Services?

  /// strictMemory: nothing is taken behind the allocator; needs maxThreads 1.
  public init(
    allocator: Allocator? = nil, maxThreads: UInt32 = 0, memoryLimit: UInt64 = 0,
    strictMemory: Bool = false
  ) throws {
    let services = allocator.map { Services($0) }
    var desc = junto_runtime_desc()
    junto_runtime_desc_init(&desc, MemoryLayout<junto_runtime_desc>.size)
    desc.max_threads = maxThreads
    desc.memory_limit = memoryLimit
    if strictMemory { desc.flags |= UInt32(JUNTO_RUNTIME_STRICT_MEMORY) }
    var out: OpaquePointer?
    if let services = services {
      try withUnsafePointer(to: services.callbacks) { callbacks in
        desc.allocator = callbacks
        _ = try call { junto_runtime_create(&desc, &out, $0) }
      }
    } else {
      try call { junto_runtime_create(&desc, &out, $0) }
    }
    raw = out!
    self.services = services
  }

  deinit { junto_runtime_release(raw) }

  /// Loads a GGUF or packed file.
  public func load(_ path: String) throws -> Model {
    var out: OpaquePointer?
    try withText(path) { name, size in
      _ = try call { junto_model_load(raw, name, size, nil, &out, $0) }
    }
    return Model(out!, services)
  }

  /// Bytes in use and the most ever in use under a tag.
  public func memory(_ tag: junto_tag = JUNTO_TAG_INVALID) throws -> (current: UInt64, peak: UInt64) {
    var current: UInt64 = 0
    var peak: UInt64 = 0
    try check(junto_runtime_memory(raw, tag, &current, &peak))
    return (current, peak)
  }
}
