import Diagnostics
import Files
import Foundation

/// `output.txt`: what a run printed, and its notes and warnings, line by line.
///
/// Lines wait in memory until the run has a directory. A file that cannot be written ends the record, not the run.
final class RunOutput {
  /// Bytes that the file may have; lines beyond are not kept.
  static let limit = 16 << 20

  private let limit: Int
  private var waiting: [UInt8] = []
  private var descriptor: Int32 = -1
  private var length = 0
  private var isFull = false
  /// Why the file lacks lines, if it does for another reason than its limit.
  private(set) var failure: EngineError?

  init(limit: Int = RunOutput.limit) { self.limit = limit }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Adds a line, or several; the last line feed is added here.
  func append(_ text: String) {
    guard !isFull, failure == nil else { return }
    var bytes = Array(text.utf8)
    bytes.append(UInt8(ascii: "\n"))
    if length + waiting.count + bytes.count > limit {
      isFull = true
      bytes = Array("(\(limit >> 20) MiB: no more is kept of what the run printed)\n".utf8)
    }
    waiting += bytes
    if descriptor >= 0 { write() }
  }

  /// Opens the file and writes what has waited, behind what an earlier command left there and `separator`.
  func open(_ path: String, separator: String) {
    do { try openFile(path) } catch {
      failure = error as? EngineError
      return
    }
    if length > 0 { waiting = Array((separator + "\n").utf8) + waiting }
    if length + waiting.count > limit + 1024 { isFull = true } else { write() }
  }

  private func openFile(_ path: String) throws {
    self.path = path
    try FilePath.require(path)
    var status = stat()
    // A file with a second name elsewhere is left as it is there.
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink > 1 { try AtomicFile.write(readFile(path), to: path) }
    descriptor = Foundation.open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw errno == ELOOP ? linkError(path) : writeFailure() }
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw EngineError(.file, "\(path): expected a regular file")
    }
    length = Int(status.st_size)
  }

  /// Returns when the lines are on the disk.
  func synchronize() {
    guard descriptor >= 0, failure == nil else { return }
    if fsync(descriptor) != 0 { failure = writeFailure() }
  }

  private var path = ""

  private func write() {
    var rest = waiting[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { bytes in
        bytes.baseAddress.map { FileWriter.systemWrite(descriptor, $0, bytes.count) } ?? 0
      }
      if count < 0 {
        if errno == EINTR { continue }
        failure = writeFailure()
        // No half of a line stays.
        ftruncate(descriptor, off_t(length))
        break
      }
      rest = rest.dropFirst(count)
    }
    if failure == nil { length += waiting.count }
    waiting = []
  }

  private func writeFailure() -> EngineError {
    EngineError(.file, "\(path): cannot be written: \(String(cString: strerror(errno)))")
  }
}
