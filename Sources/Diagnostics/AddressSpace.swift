import CLimits

/// The room that the process has in its address space, where `ulimit -v` or `ulimit -d` bounds it.
///
/// Swift, C++ and OpenBLAS end the process where they cannot allocate. So whatever takes much asks here first, and leaves a
/// reserve for what is taken in small pieces.
public enum AddressSpace {
  /// Throws where `bytes` more would use the reserve up.
  ///
  /// - Parameter purpose: what the room is for, such as "reading model.safetensors".
  public static func require(_ bytes: Int, for purpose: @autoclosure () -> String) throws {
    guard bytes >= least, !cl_has_room(bytes) else { return }
    throw EngineError(.argument, "out of memory: \(purpose()) takes \(byteCount(bytes)), and \(left())", hint: remedy)
  }

  /// Throws where the limit is too small to work in, before anything has begun.
  public static func requireEnoughToStart() throws {
    let needed = Int(cl_reserve()) * 2
    guard cl_room() < needed else { return }
    throw EngineError(
      .argument, "too little memory to work in: \(left()), expected at least \(byteCount(needed)) to start with", hint: remedy)
  }

  /// Why the last request for memory failed, if it was for want of address space.
  package static func shortage(_ bytes: Int) -> (reason: String, remedy: String)? {
    cl_has_room(bytes) ? nil : (left(), remedy)
  }

  /// Smaller requests are what the reserve is for.
  private static let least = 1 << 18

  private static func left() -> String {
    var option: UnsafePointer<CChar>?
    let limit = cl_room_limit(&option)
    let room = cl_room()
    let name = option.map { String(cString: $0) } ?? ""
    return
      "of the \(byteCount(limit)) that the process may have (\(name)) \(byteCount(room)) are left, \(byteCount(Int(cl_reserve()))) of them as a reserve"
  }

  private static var remedy: String {
    var option: UnsafePointer<CChar>?
    _ = cl_room_limit(&option)
    return "raise the limit (\(option.map { String(cString: $0) } ?? "ulimit -v") unlimited)"
  }
}

/// "512 bytes", "1.5 MB", "12 GB": for messages. Units are powers of 1024, as in `--memory`.
public func byteCount(_ bytes: Int) -> String {
  guard bytes >= 1 << 20 else { return "\(bytes) bytes" }
  let (unit, name) = bytes >= 1 << 30 ? (1 << 30, "GB") : (1 << 20, "MB")
  // One decimal, rounded down: what is left must not look like more than it is.
  let (whole, tenths) = (bytes / unit, bytes % unit * 10 / unit)
  return whole < 100 && tenths > 0 ? "\(whole).\(tenths) \(name)" : "\(whole) \(name)"
}

/// Reads "8G", "512M", "1.5 GB" or "2TiB", in powers of 1024; nil for anything else.
public func parsedByteCount(_ text: String) -> Int? {
  let letters = text.uppercased().filter { $0 != " " }
  let digits = letters.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
  guard let number = Double(digits), number.isFinite else { return nil }
  let powers: [Substring: Int] = ["K": 10, "M": 20, "G": 30, "T": 40]
  var unit = letters.dropFirst(digits.count)
  if unit.hasSuffix("B") { unit = unit.dropLast() }
  if unit.hasSuffix("I") { unit = unit.dropLast() }
  guard let power = powers[unit] else { return nil }
  let bytes = number * Double(1 << power)
  return bytes >= 1 && bytes < 0x1p62 ? Int(bytes) : nil
}
