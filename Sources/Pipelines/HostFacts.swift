import Diagnostics
import Files
import Foundation

/// What about this machine a reader needs to reproduce a run's numbers and speed. No names of
/// users, machines or folders.
public struct HostFacts: Record, Sendable {
  public private(set) var logicalCPUs = 1
  public private(set) var memoryBytes = 0
  public private(set) var os = ""
  public private(set) var kernel: String?
  public private(set) var machine: String?
  public private(set) var cpu: String?
  public private(set) var cpuFlags: [String]?

  public static let recordName = "host"
  public static let fields: [Field<Self>] = [
    .int("logical_cpus", \.logicalCPUs, "processors that the process may use", in: 1..., required: true),
    .int("memory_bytes", \.memoryBytes, "the machine's memory", in: 0..., required: true),
    .value("os", \.os, "the operating system's name", required: true),
    .value("kernel", \.kernel, "its release"),
    .value("machine", \.machine, "the kind of processor, as uname says it"),
    .value("cpu", \.cpu, "the processor's name"),
    .value("cpu_flags", \.cpuFlags, "those of its instruction sets that matter here"),
  ]

  /// What cannot be known here.
  public init() {}

  public static func current() -> HostFacts {
    var facts = HostFacts()
    facts.logicalCPUs = ProcessInfo.processInfo.activeProcessorCount
    facts.memoryBytes = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    facts.os = operatingSystem()
    var name = utsname()
    if uname(&name) == 0 {
      facts.kernel = text(name.release)
      facts.machine = text(name.machine)
    }
    let cpu = cpuInfo()
    facts.cpu = cpu["model name"]
    if let flags = cpu["flags"] {
      let present = Set(flags.split(separator: " ").map(String.init))
      let relevant = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"]
      facts.cpuFlags = relevant.filter(present.contains)
    }
    return facts
  }

  /// The processors that this process may run on, as Linux writes them: "0-3,8"; empty elsewhere.
  public static func allowedCPUs() -> String {
    let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let key = "Cpus_allowed_list:"
    let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return line.map { $0.dropFirst(key.count).trimmingCharacters(in: .whitespaces) } ?? ""
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
