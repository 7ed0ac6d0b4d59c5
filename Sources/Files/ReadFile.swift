import Diagnostics
import Foundation

/// The bytes of a regular file. Errors name the path and say whether it is missing, a folder, or unreadable.
public func readFile(_ path: String) throws -> Data {
  try requireRegularFile(path)
  do {
    return try Data(contentsOf: URL(fileURLWithPath: path))
  } catch {
    throw EngineError(.file, "\(path): cannot be read: \(String(cString: strerror(errno)))")
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

/// Throws unless `path` is an existing regular file (links are followed).
public func requireRegularFile(_ path: String) throws {
  var isDirectory: ObjCBool = false
  guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
    let folder = (path as NSString).deletingLastPathComponent
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? []
    let near = nearestName(to: (path as NSString).lastPathComponent, among: names)
    throw EngineError(.file, "\(path): no such file", hint: near.map { "did you mean '\($0)'?" })
  }
  if isDirectory.boolValue { throw EngineError(.file, "\(path): is a folder, expected a file") }
}
