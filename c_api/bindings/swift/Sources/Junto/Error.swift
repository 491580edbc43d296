import CJunto

/// What a call failed with.
public struct JuntoError: Error, CustomStringConvertible {
  /// What kind of failure.
  public let status: junto_status
  /// errno of a failed file operation, else 0.
  public let osError: Int32
  /// One line that states a fact and a number.
  public let description: String
}

/// Calls a function that takes an error last; its status, if that is no failure.
@discardableResult
func call(_ function: (UnsafeMutablePointer<junto_error>) -> junto_status) throws -> junto_status {
  var error = junto_error()
  junto_error_init(&error, MemoryLayout<junto_error>.size)
  let status = function(&error)
  if status.rawValue >= 0 { return status }
  let message = withUnsafeBytes(of: &error.message) { bytes in
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
  throw JuntoError(status: status, osError: error.os_error, description: message)
}

/// The same for a status that comes without an error.
func check(_ status: junto_status) throws {
  if status.rawValue >= 0 { return }
  let name = String(cString: junto_status_name(status))
  throw JuntoError(status: status, osError: 0, description: name)
}

/// Text as C takes it.
func withText<R>(_ text: String, _ body: (UnsafePointer<CChar>, Int) throws -> R) rethrows -> R {
  try text.withCString { try body($0, text.utf8.count) }
}

/// Asks a function for its size, then for its bytes.
func fetch(
  _ function: (UnsafeMutableRawPointer?, Int, UnsafeMutablePointer<Int>,
    UnsafeMutablePointer<junto_error>) -> junto_status
) throws -> [UInt8] {
  var size = 0
  try call { function(nil, 0, &size, $0) }
  var bytes = [UInt8](repeating: 0, count: size)
  let capacity = size
  try bytes.withUnsafeMutableBytes { buffer in
    _ = try call { function(buffer.baseAddress, capacity, &size, $0) }
  }
  return Array(bytes.prefix(size))
}
