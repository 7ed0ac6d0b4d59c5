import Files
import Foundation

/// What about this machine a reader needs to reproduce a run's numbers and speed. No names of
/// users, machines or folders.
public enum HostFacts {
  public static func current() -> JSONObject {
    var facts: JSONObject = [
      "logical_cpus": .int(ProcessInfo.processInfo.activeProcessorCount),
      "memory_bytes": .int(Int(clamping: ProcessInfo.processInfo.physicalMemory)),
      "os": .string(operatingSystem()),
    ]
    var name = utsname()
    if uname(&name) == 0 {
      facts["kernel"] = .string(text(name.release))
      facts["machine"] = .string(text(name.machine))
    }
    let cpu = cpuInfo()
    if let model = cpu["model name"] { facts["cpu"] = .string(model) }
    if let flags = cpu["flags"] {
      let present = Set(flags.split(separator: " ").map(String.init))
      let relevant = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"]
      facts["cpu_flags"] = .array(relevant.filter(present.contains).map { .string($0) })
    }
    return facts
  }

  private static func operatingSystem() -> String {
    let release = (try? String(contentsOfFile: "/etc/os-release", encoding: .utf8)) ?? ""
    let key = "PRETTY_NAME="
    let line = release.split(separator: "\n").first { $0.hasPrefix(key) }
    return line.map { $0.dropFirst(key.count).trimmingCharacters(in: ["\""]) }
      ?? ProcessInfo.processInfo.operatingSystemVersionString
  }

  /// The first processor's entries in `/proc/cpuinfo`; empty elsewhere than on Linux.
  private static func cpuInfo() -> [String: String] {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    var entries: [String: String] = [:]
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      guard let colon = line.firstIndex(of: ":") else { break }
      let key = line[..<colon].trimmingCharacters(in: .whitespaces)
      entries[key] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return entries
  }

  private static func text<Letters>(_ letters: Letters) -> String {
    withUnsafeBytes(of: letters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
