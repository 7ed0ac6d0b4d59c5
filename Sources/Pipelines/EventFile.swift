import Diagnostics
import Files
import Foundation

/// TensorBoard's event files: records with checksums, each a protobuf message of which five fields are used here.
///
/// A record is the length of its data (8 bytes), the length's checksum (4), the data, and the data's checksum (4), all little-endian.
/// Checksums are CRC-32C, rotated and shifted so that a checksum of checksums is none.
enum EventFile {
  /// One number of a run, as TensorBoard shows it. It keeps numbers as floats, and so does the file.
  struct Scalar: Hashable {
    let tag: String
    let step: Int
    /// The float's bits: NaN is equal to itself.
    let bits: UInt32

    init(_ tag: String, step: Int, _ value: Double) { (self.tag, self.step, bits) = (tag, step, Float(value).bitPattern) }

    init(tag: String, step: Int, bits: UInt32) { (self.tag, self.step, self.bits) = (tag, step, bits) }
  }

  enum Event: Equatable {
    /// The first event of a file.
    case version
    /// What was logged before, from this step on, does not count.
    case start(step: Int)
    case scalars([Scalar])
    /// A text, shown by TensorBoard's plugin of that name.
    case text(tag: String, step: Int, String)
    /// What TensorBoard's plugin `hparams` knows of a training, in the message of that plugin; read back, the name alone.
    case settings(tag: String, [UInt8])
  }

  // MARK: - Writing

  static func record(_ event: Event, wallTime: Double = Date().timeIntervalSince1970) -> [UInt8] {
    let data = message(event, wallTime: wallTime)
    let length = fixed(UInt64(data.count))
    return length + fixed(masked(length)) + data + fixed(masked(data))
  }

  private static func message(_ event: Event, wallTime: Double) -> [UInt8] {
    let time = key(1, 1) + fixed(wallTime.bitPattern)
    func at(_ step: Int) -> [UInt8] { time + key(2, 0) + varint(UInt64(bitPattern: Int64(step))) }
    switch event {
    case .version: return time + field(3, Array("brain.Event:2".utf8))
    case .start(let step): return at(step) + field(7, key(1, 0) + varint(1))
    case .scalars(let scalars):
      let values = scalars.map { field(1, field(1, Array($0.tag.utf8)) + key(2, 5) + fixed($0.bits)) }
      return at(scalars.first?.step ?? 0) + field(5, values.flatMap(\.self))
    case .text(let tag, let step, let text):
      let tensor = key(1, 0) + varint(7) + field(2, field(2, key(1, 0) + varint(1))) + field(8, Array(text.utf8))
      return at(step) + summary(of: tag + "/text_summary", tensor, plugin: "text")
    case .settings(let tag, let content):
      // The plugin reads the metadata; the summary has to have a tensor all the same.
      let tensor = key(1, 0) + varint(1) + field(2, field(2, key(1, 0) + varint(1))) + field(5, fixed(Float(0).bitPattern))
      return at(0) + summary(of: tag, tensor, plugin: "hparams", content)
    }
  }

  private static func summary(of tag: String, _ tensor: [UInt8], plugin: String, _ content: [UInt8] = []) -> [UInt8] {
    let data = field(1, Array(plugin.utf8)) + (content.isEmpty ? [] : field(2, content))
    return field(5, field(1, field(1, Array(tag.utf8)) + field(8, tensor) + field(9, field(1, data))))
  }

  private static func masked(_ bytes: [UInt8]) -> UInt32 {
    let crc = bytes.withUnsafeBytes { CRC32.castagnoli.checksum(of: $0) }
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }

  static func fixed(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }

  static func varint(_ number: UInt64) -> [UInt8] {
    var (bytes, rest) = ([UInt8](), number)
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  static func key(_ field: UInt64, _ wire: UInt64) -> [UInt8] { varint(field << 3 | wire) }

  static func field(_ number: UInt64, _ content: [UInt8]) -> [UInt8] { key(number, 2) + varint(UInt64(content.count)) + content }

  // MARK: - Reading

  /// The starts and scalars of a file, up to the first record that is cut off or damaged: its writer was killed.
  static func events(inFile path: String) throws -> [Event] {
    let bytes = [UInt8](try readFile(path))
    var events: [Event] = []
    var place = 0
    while bytes.count - place >= 16 {
      let header = Array(bytes[place..<place + 8])
      let count = header.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
      guard count <= UInt64(bytes.count - place - 16), fixed(masked(header)) == Array(bytes[place + 8..<place + 12]) else { break }
      let end = place + 12 + Int(count)
      let data = Array(bytes[place + 12..<end])
      guard fixed(masked(data)) == Array(bytes[end..<end + 4]) else { break }
      if let event = try? event(data) { events.append(event) }
      place = end + 4
    }
    return events
  }

  private static func event(_ data: [UInt8]) throws -> Event? {
    let fields = try fields(data)
    let step = Int(Int64(bitPattern: fields.first { $0.number == 2 }?.value ?? 0))
    if let session = fields.first(where: { $0.number == 7 }) {
      return try self.fields(session.content).contains { $0.number == 1 && $0.value == 1 } ? .start(step: step) : nil
    }
    guard let summary = fields.first(where: { $0.number == 5 }) else { return nil }
    var settings: String?
    let scalars =
      try self.fields(summary.content).filter { $0.number == 1 }.compactMap { value -> Scalar? in
        let parts = try self.fields(value.content)
        if let tag = parts.first(where: { $0.number == 1 })?.content, tag.starts(with: TrainingSettings.tagPrefix.utf8) {
          settings = String(decoding: tag, as: UTF8.self)
        }
        guard let tag = parts.first(where: { $0.number == 1 }), let number = parts.first(where: { $0.number == 2 }) else { return nil }
        return Scalar(tag: String(decoding: tag.content, as: UTF8.self), step: step, bits: UInt32(truncatingIfNeeded: number.value))
      }
    return scalars.isEmpty ? settings.map { .settings(tag: $0, []) } : .scalars(scalars)
  }

  /// A message's fields: a number, or the bytes of what has a length.
  private static func fields(_ bytes: [UInt8]) throws -> [(number: UInt64, value: UInt64, content: [UInt8])] {
    var fields: [(UInt64, UInt64, [UInt8])] = []
    var rest = bytes[...]
    func take(_ count: UInt64) throws -> [UInt8] {
      guard count <= UInt64(rest.count) else { throw EngineError(.data, "a field of an event is cut off") }
      defer { rest = rest.dropFirst(Int(count)) }
      return Array(rest.prefix(Int(count)))
    }
    func number(_ bytes: [UInt8]) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 70, by: 7) {
        let byte = try take(1)[0]
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
      }
      throw EngineError(.data, "a number of an event has no end")
    }
    while !rest.isEmpty {
      let key = try varint()
      switch key & 7 {
      case 0: fields.append((key >> 3, try varint(), []))
      case 1: fields.append((key >> 3, number(try take(8)), []))
      case 2: fields.append((key >> 3, 0, try take(varint())))
      case 5: fields.append((key >> 3, number(try take(4)), []))
      default: throw EngineError(.data, "a field of an event has an unknown type")
      }
    }
    return fields
  }
}
