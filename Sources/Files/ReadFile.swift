import Diagnostics
import Foundation

/// The bytes of a regular file. Errors name the path and say whether it is missing, a folder, unreadable, or larger than `most`.
public func readFile(_ path: String, most: Int = .max) throws -> Data {
  try withOpenFile(path) { descriptor, size in
    guard size <= most else {
      throw EngineError(.data, "\(path): the file has \(byteCount(size)), expected at most \(byteCount(most))")
    }
    // Read as it is, and then as text or as what it means.
    try AddressSpace.require(2 * min(size, Int.max / 2), for: "reading \(path)")
    // One byte more than there should be tells the end without another round. A size can be wrong while somebody writes.
    var data = Data(count: size + 1)
    var done = 0
    while true {
      let room = data.count - done
      let count = data.withUnsafeMutableBytes { bytes in bytes.baseAddress.map { read(descriptor, $0 + done, room) } ?? 0 }
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw readError(path) }
      if count == 0 { return data.prefix(done) }
      done += count
      if done == data.count { data.append(Data(count: max(done, 1 << 16))) }
    }
  }
}

/// The text of a UTF-8 file; bytes that are not UTF-8 are an error that names the line.
public func readText(_ path: String) throws -> String {
  let data = try readFile(path)
  if let text = String(validating: data, as: UTF8.self) { return text }
  var line = 1
  for chunk in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
    if String(validating: chunk, as: UTF8.self) == nil { break }
    line += 1
  }
  throw EngineError(.data, "\(path):\(line): invalid UTF-8", hint: "save the file as UTF-8")
}

/// The text that standard input gives until its end, at most `most` bytes.
public func readStandardInput(most: Int = 1 << 26) throws -> String {
  var data = [UInt8]()
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(0, &chunk, chunk.count)
    if count < 0, errno == EINTR {
      try Interrupt.check()
      continue
    }
    if count < 0 { throw readError("standard input") }
    if count == 0 { break }
    data += chunk.prefix(count)
    guard data.count <= most else { throw EngineError(.data, "standard input: more than \(byteCount(most))") }
  }
  guard let text = String(validating: data, as: UTF8.self) else {
    throw EngineError(.data, "standard input: invalid UTF-8", hint: "save the text as UTF-8")
  }
  return text
}

/// Throws unless `path` is an existing regular file that may be read (links are followed).
public func requireRegularFile(_ path: String) throws { try withOpenFile(path) { _, _ in } }

/// Calls `body` with a descriptor of a regular file and the file's size: the one way to a file's content.
///
/// Throws `EngineError` (`.file`) for what is missing, no regular file, or not to be read by `ReadPolicy`.
func withOpenFile<Result>(_ path: String, _ body: (_ descriptor: Int32, _ size: Int) throws -> Result) throws -> Result {
  try FilePath.require(path)
  try ReadPolicy.current.require(path)
  // Opening alone can set a device in motion.
  guard let kind = kindAnywhere(path) else { throw missingError(path) }
  try require(kind, path)
  let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
  guard descriptor >= 0 else { throw readError(path) }
  defer { close(descriptor) }
  var status = stat()
  guard fstat(descriptor, &status) == 0, let size = Int(exactly: status.st_size), size >= 0 else { throw readError(path) }
  try require(FileKind(status.st_mode), path)
  try ReadPolicy.current.require(descriptor, path)
  return try body(descriptor, size)
}

/// The error for a file that could not be read, from `errno`.
func readError(_ path: String) -> EngineError {
  EngineError(.file, "\(path): cannot be read: \(String(cString: strerror(errno)))")
}

private func require(_ kind: FileKind, _ path: String) throws {
  let word: String
  switch kind {
  case .file: return
  case .folder: word = "a folder"
  case .link: word = "a link"
  case .pipe: word = "a pipe"
  case .socket: word = "a socket"
  case .device: word = "a device"
  }
  let hint = kind == .folder ? nil : "save what comes from it in a file first"
  throw EngineError(.file, "\(path): is \(word), expected a file", hint: hint)
}

private func missingError(_ path: String) -> EngineError {
  guard [ENOENT, ENOTDIR].contains(errno) else { return readError(path) }
  if path == "-" { return EngineError(.file, "-: no such file", hint: "save what comes from standard input in a file first") }
  let near = nearestName(to: FilePath.name(of: path), among: (try? AtomicFolder.names(in: FilePath.folder(of: path))) ?? [])
  return EngineError(.file, "\(path): no such file", hint: near.map { "did you mean '\($0)'?" })
}
