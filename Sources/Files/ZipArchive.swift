import Diagnostics
import Foundation
import Synchronization

/// A zip archive whose members are stored as they are, read through a memory map: what torch writes.
///
/// Every offset and size is checked when the archive is opened, in 32 and 64 bits alike. Compressed and encrypted members
/// are errors. Format: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.
public final class ZipArchive: Sendable {
  /// One member.
  public struct Entry: Sendable, Equatable {
    public let name: String
    /// Its bytes, as offsets from the start of the file.
    public let range: Range<Int>
    /// What CRC-32 makes of them, as the archive says.
    public let checksum: UInt32
  }

  public let file: MappedFile
  /// All members, in the order of the central directory.
  public let entries: [Entry]
  private let positions: [String: Int]
  /// Members whose checksum was found right.
  private let verified = Mutex<Set<String>>([])

  /// The bytes that every zip archive with members begins with.
  public static let signature: [UInt8] = [0x50, 0x4B, 0x03, 0x04]

  /// Opens and checks an archive.
  ///
  /// Throws `EngineError`: `.file` if it cannot be read; `.data` where it is no zip archive, a part lies outside the file,
  /// two members have one name, or a member is compressed or encrypted.
  public init(_ path: String) throws {
    file = try MappedFile(path)
    let reader = ZipReader(path: path, bytes: file.bytes)
    entries = try withExtendedLifetime(file) { try reader.entries() }
    positions = Dictionary(entries.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    guard positions.count == entries.count else {
      let names = Dictionary(grouping: entries, by: \.name).filter { $0.value.count > 1 }.keys.sorted()
      throw EngineError(.data, "\(path): two members are called '\(names.first ?? "")'")
    }
  }

  public var path: String { file.path }

  /// The member of that name, or nil.
  public subscript(name: String) -> Entry? { positions[name].map { entries[$0] } }

  /// Calls `body` with a member's bytes, which stay valid until it returns. Throws where their checksum is wrong.
  public func withBytes<Result>(of entry: Entry, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    guard self[entry.name] == entry else {
      throw EngineError(.data, "\(path): member '\(entry.name)' belongs to another archive")
    }
    try verify(entry)
    return try file.withBytes { try body(UnsafeRawBufferPointer(rebasing: $0[entry.range])) }
  }

  /// Reads a member once in the archive's life, and throws `EngineError` (`.data`) where its checksum is wrong.
  public func verify(_ entry: Entry) throws {
    guard verified.withLock({ !$0.contains(entry.name) }) else { return }
    let checksum = file.withBytes { CRC32.zip.checksum(of: UnsafeRawBufferPointer(rebasing: $0[entry.range])) }
    guard checksum == entry.checksum else {
      throw EngineError(
        .data, "\(path): member '\(entry.name)' is damaged: its bytes do not have the checksum that the zip archive says",
        hint: "copy or download the file again; torch must save it with checksums (torch.serialization.set_crc32_options)")
    }
    verified.withLock { _ = $0.insert(entry.name) }
  }
}

/// The records of an archive. Positions and sizes come from the file: nothing of them is trusted.
private struct ZipReader {
  let path: String
  let bytes: UnsafeRawBufferPointer

  /// Signatures of records, and their sizes without what follows of variable length.
  private static let (member, memberSize) = (UInt32(0x0403_4B50), 30)
  private static let (directory, directorySize) = (UInt32(0x0201_4B50), 46)
  private static let (end, endSize) = (UInt32(0x0605_4B50), 22)
  private static let (wideEnd, wideEndSize) = (UInt32(0x0606_4B50), 56)
  private static let (locator, locatorSize) = (UInt32(0x0706_4B50), 20)
  /// The longest comment at the end of a file.
  private static let longestComment = 0xFFFF

  private func failure(_ what: String, hint: String? = nil) -> EngineError {
    EngineError(.data, "\(path): \(what)", hint: hint)
  }

  /// A little-endian number; throws beyond the end.
  private func number<Value: FixedWidthInteger & UnsignedInteger>(_ type: Value.Type, at position: Int) throws -> Value {
    let size = MemoryLayout<Value>.size
    guard position >= 0, position <= bytes.count - size else {
      throw failure("the zip archive ends in the middle of a record", hint: "the file is truncated")
    }
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Value.self))
  }

  private func short(_ position: Int) throws -> Int { Int(try number(UInt16.self, at: position)) }
  private func word(_ position: Int) throws -> Int { Int(try number(UInt32.self, at: position)) }

  private func wide(_ position: Int) throws -> Int {
    guard let value = Int(exactly: try number(UInt64.self, at: position)) else {
      throw failure("the zip archive has a position beyond 2^63")
    }
    return value
  }

  /// `start ..< start + count` within the first `limit` bytes.
  private func range(_ start: Int, _ count: Int, _ what: String, below limit: Int) throws -> Range<Int> {
    let (end, overflow) = start.addingReportingOverflow(count)
    guard start >= 0, count >= 0, !overflow, end <= limit else {
      throw failure("\(what) lies outside the zip archive", hint: "the file is truncated or damaged")
    }
    return start..<end
  }

  /// Where the end record begins.
  private func endRecord() throws -> Int {
    let last = bytes.count - Self.endSize
    guard last >= 0 else { throw failure("not a zip archive: \(bytes.count) bytes") }
    for position in stride(from: last, through: max(0, last - Self.longestComment), by: -1)
    where try number(UInt32.self, at: position) == Self.end && position + Self.endSize + short(position + 20) == bytes.count {
      return position
    }
    throw failure("not a zip archive: no end record", hint: "the file is truncated, or of another format")
  }

  /// The central directory, and how many members it lists.
  private func centralDirectory() throws -> (range: Range<Int>, count: Int) {
    let end = try endRecord()
    var (disk, firstDisk) = (try short(end + 4), try short(end + 6))
    var (count, size, start) = (try short(end + 10), try word(end + 12), try word(end + 16))
    let isWide = count == 0xFFFF || size == 0xFFFF_FFFF || start == 0xFFFF_FFFF
    let locator = end - Self.locatorSize
    var limit = end
    if isWide, locator >= 0, try number(UInt32.self, at: locator) == Self.locator {
      let record = try wide(locator + 8)
      _ = try range(record, Self.wideEndSize, "the 64-bit end record", below: locator)
      guard try number(UInt32.self, at: record) == Self.wideEnd else { throw failure("the 64-bit end record is not there") }
      (disk, firstDisk) = (try word(record + 16), try word(record + 20))
      (count, size, start) = (try wide(record + 32), try wide(record + 40), try wide(record + 48))
      limit = record
    }
    guard disk == 0, firstDisk == 0 else { throw failure("the zip archive is one part of several") }
    let range = try range(start, size, "the central directory", below: limit)
    guard count <= range.count / Self.directorySize else {
      throw failure("the central directory lists \(count) members in \(range.count) bytes")
    }
    return (range, count)
  }

  func entries() throws -> [ZipArchive.Entry] {
    let (directory, count) = try centralDirectory()
    var entries: [ZipArchive.Entry] = []
    entries.reserveCapacity(count)
    var position = directory.lowerBound
    for _ in 0..<count {
      guard position <= directory.upperBound - Self.directorySize, try number(UInt32.self, at: position) == Self.directory else {
        throw failure("member \(entries.count + 1) of \(count) is missing from the central directory")
      }
      let (nameSize, extraSize, commentSize) = (try short(position + 28), try short(position + 30), try short(position + 32))
      let name = try range(position + Self.directorySize, nameSize, "a member's name", below: directory.upperBound)
      let extra = try range(name.upperBound, extraSize, "a member's extra field", below: directory.upperBound)
      entries.append(try entry(at: position, name: name, extra: extra, before: directory.lowerBound))
      position = try range(extra.upperBound, commentSize, "a member's comment", below: directory.upperBound).upperBound
    }
    return entries
  }

  private func entry(at position: Int, name: Range<Int>, extra: Range<Int>, before limit: Int) throws -> ZipArchive.Entry {
    guard let text = String(validating: bytes[name], as: UTF8.self), !text.isEmpty else {
      throw failure("a member's name is empty or not UTF-8")
    }
    let (flags, method) = (try short(position + 8), try short(position + 10))
    guard flags & 1 == 0 else { throw failure("member '\(text)' is encrypted") }
    guard method == 0 else {
      throw failure("member '\(text)' is compressed (method \(method)), expected stored members, as torch.save writes them")
    }
    var (size, packedSize, start) = (try word(position + 24), try word(position + 20), try word(position + 42))
    if [size, packedSize, start].contains(0xFFFF_FFFF) { try widen(&size, &packedSize, &start, extra) }
    guard size == packedSize else { throw failure("member '\(text)' is stored in \(packedSize) bytes, but has \(size)") }
    let header = try range(start, Self.memberSize, "member '\(text)'", below: limit)
    guard try number(UInt32.self, at: start) == Self.member else { throw failure("member '\(text)' is not where it should be") }
    // The extra field here may differ from the directory's: torch pads with it.
    let skipped = try short(start + 26) + short(start + 28)
    return ZipArchive.Entry(
      name: text, range: try range(header.upperBound + skipped, size, "member '\(text)'", below: limit),
      checksum: try number(UInt32.self, at: position + 16))
  }

  /// Takes what does not fit 32 bits from the extra field: in this order, and only what is missing.
  private func widen(_ size: inout Int, _ packedSize: inout Int, _ start: inout Int, _ extra: Range<Int>) throws {
    var position = extra.lowerBound
    while position <= extra.upperBound - 4 {
      let field = try range(position + 4, short(position + 2), "an extra field", below: extra.upperBound)
      if try short(position) == 1 {
        var next = field.lowerBound
        func take(_ value: inout Int) throws {
          guard value == 0xFFFF_FFFF else { return }
          _ = try range(next, 8, "a 64-bit size", below: field.upperBound)
          value = try wide(next)
          next += 8
        }
        try take(&size)
        try take(&packedSize)
        try take(&start)
        return
      }
      position = field.upperBound
    }
  }
}
