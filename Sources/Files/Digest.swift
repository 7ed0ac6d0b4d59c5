import CXXHash
import Diagnostics
import Foundation

/// A 128-bit content digest (XXH3): the name of a value or file by what is in it.
///
/// It is fast (a gigabyte in well under a second) and safe against accidents, but not against
/// someone who builds two files with one digest on purpose; nothing here is a security boundary.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
  public let high: UInt64
  public let low: UInt64

  /// The digest of some bytes.
  public init(of bytes: UnsafeRawBufferPointer) {
    self.init(XXH3_128bits(bytes.baseAddress, bytes.count))
  }

  /// The digest of some bytes.
  public init(of data: some ContiguousBytes) {
    self = data.withUnsafeBytes { Digest(of: $0) }
  }

  /// The digest of a string's UTF-8 bytes.
  public init(of text: String) { self.init(of: Array(text.utf8)) }

  /// The digest of a value. Equal values have equal digests, whatever the order of their keys; `1`
  /// and `1.0` differ.
  public init(of value: JSONValue) { self.init(of: value.encoded(.canonical)) }

  /// The digest of a file's content. Throws `EngineError` for a file that cannot be read.
  public init(ofFile path: String) throws {
    self = try withOpenFile(path) { descriptor, _ in
      let stream = DigestStream()
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
      defer { buffer.deallocate() }
      while true {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count == 0 { return stream.finish() }
        if count < 0 {
          if errno == EINTR { continue }
          throw readError(path)
        }
        stream.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      }
    }
  }

  /// The digest of a folder: of the names and contents of its files, at any depth. Links are
  /// followed; hidden files and empty folders do not count.
  public init(ofFolder path: String) throws {
    var files = JSONObject()
    try Self.collect(path, prefix: "", depth: 0, into: &files)
    self.init(of: .object(files))
  }

  /// A digest from its 32 hexadecimal digits; nil for any other text.
  public init?(hex: String) {
    let digits = Array(hex.utf8)
    let isHex = digits.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
    guard digits.count == 32, isHex,
      let high = UInt64(String(decoding: digits[..<16], as: UTF8.self), radix: 16),
      let low = UInt64(String(decoding: digits[16...], as: UTF8.self), radix: 16)
    else { return nil }
    self.high = high
    self.low = low
  }

  init(_ hash: XXH128_hash_t) {
    high = hash.high64
    low = hash.low64
  }

  /// 32 lower-case hexadecimal digits.
  public var hex: String {
    [high, low].map {
      let digits = String($0, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  public var description: String { hex }

  private static func collect(
    _ folder: String, prefix: String, depth: Int, into files: inout JSONObject
  ) throws {
    // Links can form a circle.
    if depth > 32 { throw EngineError(.file, "\(folder): folders nested too deeply") }
    for name in try AtomicFolder.names(in: folder) where !name.hasPrefix(".") {
      let child = folder + "/" + name
      if folderExists(child) {
        try collect(child, prefix: prefix + name + "/", depth: depth + 1, into: &files)
      } else {
        files[prefix + name] = .string(try Digest(ofFile: child).hex)
      }
    }
  }
}

/// A digest taken piece by piece; how the bytes are cut into pieces does not matter.
public final class DigestStream {
  private let state: OpaquePointer?

  public init() {
    state = XXH3_createState()
    precondition(state != nil, "out of memory")
    XXH3_128bits_reset(state)
  }

  deinit { XXH3_freeState(state) }

  public func update(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress { XXH3_128bits_update(state, start, bytes.count) }
  }

  public func update(_ data: some ContiguousBytes) { data.withUnsafeBytes { update($0) } }

  /// The digest of everything so far; more can follow.
  public func finish() -> Digest { Digest(XXH3_128bits_digest(state)) }
}
