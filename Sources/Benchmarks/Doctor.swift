import CLimits
import Engine
import Files
import Foundation
import Pipelines
import TensorCore

/// What this machine has, what of it is used, and what is missing at which cost: `perigee doctor`.
public struct Doctor {
  private var facts: [(section: String, name: String, value: JSONValue, text: String)] = []
  /// What is missing, and what that costs.
  private(set) var remarks: [String] = []

  /// Looks, and measures for about a second.
  public static func examine() throws -> Doctor {
    var doctor = Doctor()
    let arithmetic = EngineSetup.configure(threads: nil, precision: .auto)
    doctor.processor()
    doctor.memory()
    try doctor.products(arithmetic)
    doctor.folders()
    return doctor
  }

  private mutating func add(_ section: String, _ name: String, _ value: JSONValue, _ text: String? = nil) {
    facts.append((section, name, value, text ?? value.stringValue ?? value.encoded(.line)))
  }

  private mutating func processor() {
    let host = HostFacts.current()
    add("processor", "name", .string(host.cpu ?? host.machine ?? "unknown"))
    let flags = host.cpuFlags ?? []
    add("processor", "units", .array(flags.map { .string($0) }), flags.isEmpty ? "none that are known here" : flags.joined(separator: " "))
    let installed = ProcessInfo.processInfo.processorCount
    let quota = cl_quota_cores("/proc/self/cgroup", "/sys/fs/cgroup")
    let hasQuota = quota != CL_UNLIMITED
    add("processor", "cores_installed", .int(installed))
    add("processor", "cores_in_mask", .int(host.logicalCPUs))
    add("processor", "cores_by_quota", hasQuota ? .int(Int(clamping: quota)) : .null, hasQuota ? "\(quota)" : "no quota")
    add("processor", "threads", .int(Threads.count))
    if Threads.count < installed {
      let why = hasQuota && quota <= host.logicalCPUs ? "the control group's quota" : "the affinity mask"
      remarks.append(
        "\(why) leaves \(Threads.count) of \(installed) cores: training takes about \(String(format: "%.1f", Double(installed) / Double(Threads.count))) x as long"
      )
    }
    for (name, key) in [("l1", _SC_LEVEL1_DCACHE_SIZE), ("l2", _SC_LEVEL2_CACHE_SIZE), ("l3", _SC_LEVEL3_CACHE_SIZE)] {
      let bytes = sysconf(Int32(key))
      if bytes > 0 { add("processor", "\(name)_bytes", .int(bytes), Self.bytes(bytes)) }
    }
    if !flags.isEmpty, !flags.contains("avx512f") {
      remarks.append("no AVX-512: products run on \(Precision.fp32.provider), at less than half its speed per core")
    }
  }

  private mutating func memory() {
    let (machine, allowed) = (Int(clamping: ProcessInfo.processInfo.physicalMemory), Int(clamping: cl_machine_memory()))
    add("memory", "machine_bytes", .int(machine), Self.bytes(machine))
    add("memory", "allowed_bytes", .int(allowed), Self.bytes(allowed) + (allowed < machine ? " by the control group" : ""))
    add("memory", "tensor_bytes", .int(Memory.limitBytes), Self.bytes(Memory.limitBytes) + ", unless --memory says otherwise")
    var option: UnsafePointer<CChar>?
    let limit = cl_room_limit(&option)
    if limit > 0, let option {
      add("memory", "address_space_bytes", .int(Int(clamping: limit)), Self.bytes(Int(clamping: limit)))
      remarks.append("\(String(cString: option)) is \(Self.bytes(Int(clamping: limit))): larger models end with an error")
    }
    if allowed < 4 << 30 { remarks.append("less than 4 GB of memory: full fine-tuning of a BERT-base does not fit; adapters do") }
  }

  private mutating func products(_ arithmetic: String) throws {
    add("products", "precision", .string(Precision.current.rawValue), arithmetic)
    for precision in [Precision.fp32, .bf16] {
      add("products", "\(precision.rawValue)_provider", .string(precision.provider))
    }
    for kind in Products.allCases { add("products", "\(kind.rawValue)_by", .string(kind.provider)) }
    add("products", "onednn", .bool(Precision.hasOneDNN), Precision.hasOneDNN ? "yes" : "no")
    let core = OpenBLAS.core
    add("products", "openblas_core", .string(core.used), core.used.isEmpty ? "it does not say" : core.used)
    if core.used != core.found {
      remarks.append("this OpenBLAS takes the CPU for an old \(core.found): the engine tells it to take it for \(core.used); a newer one would know")
    } else if let better = OpenBLAS.betterCore(than: core.used) {
      remarks.append("OpenBLAS computes as for an old \(core.used): set OPENBLAS_CORETYPE=\(better), or install a newer one")
    }
    add("products", "bfloat16_units", .bool(Precision.hasBFloat16Units), Precision.hasBFloat16Units ? "yes" : "no")
    let limits = try MachineLimits.measure(Effort(repeats: 3, seconds: 0.01), megabytes: 64)
    for limit in limits.limits {
      add(
        "measured", limit.name,
        ["unit": .string(limit.unit), "one_thread": .double(limit.oneThread.median), "all_threads": .double(limit.allThreads.median)],
        String(format: "%.1f %@ with one thread, %.1f with \(Threads.count)", limit.oneThread.median, limit.unit, limit.allThreads.median))
    }
    if !Precision.hasOneDNN {
      remarks.append(
        "this build has no oneDNN: for bfloat16 by AMX, products are slower (install libdnnl-dev and build again)")
    }
    if Precision.isAMXRefused {
      remarks.append(
        "this system does not let processes use the CPU's AMX units: products in bfloat16 run on \(Precision.bf16.provider), which is slower")
    }
    if !Precision.hasBFloat16Units { remarks.append("no bfloat16 units: --precision bf16 works, and is slower than fp32") }
  }

  private mutating func folders() {
    let store = StageStore.defaultRoot()
    let isWritable = access(Self.existing(store), W_OK) == 0
    add("folders", "cache", .string(store))
    if let free = freeBytes(Self.existing(store)) {
      add("folders", "cache_free_bytes", .int(free), Self.bytes(free))
      if free < 4 << 30 { remarks.append("less than 4 GB are free where results are kept (\(store)): set PERIGEE_CACHE to a larger disk") }
    }
    if !isWritable { remarks.append("\(store) cannot be written: finished stages are not kept; set PERIGEE_CACHE to another folder") }
  }

  /// The nearest folder above a path that is there.
  private static func existing(_ path: String) -> String {
    var path = path
    while !folderExists(path), path != "/", !path.isEmpty { path = FilePath.folder(of: path) }
    return path.isEmpty ? "." : path
  }

  private static func bytes(_ count: Int) -> String {
    let (unit, name, digits) = count >= 1 << 30 ? (30, "GB", 1) : count >= 1 << 20 ? (20, "MB", 0) : (10, "KB", 0)
    return String(format: "%.\(digits)f \(name)", Double(count) / Double(1 << unit))
  }

  /// The facts by section, and what is missing.
  public var json: String {
    var sections: JSONObject = ["engine": .string("perigee \(EngineSetup.version)")]
    for fact in facts {
      var section = sections[fact.section]?.objectValue ?? [:]
      section[fact.name] = fact.value
      sections[fact.section] = .object(section)
    }
    sections["missing"] = .array(remarks.map { .string($0) })
    return JSONValue.object(sections).encoded(.indented)
  }

  /// A table, and what is missing.
  public var text: String {
    let table = Table(
      columns: ["part", "what", "value"], rows: facts.map { [.string($0.section), .string($0.name.replacing("_", with: " ")), .string($0.text)] })
    let missing = remarks.isEmpty ? "nothing is missing" : remarks.map { "- " + $0 }.joined(separator: "\n")
    return "perigee \(EngineSetup.version)\n\n\(table.text())\n\(missing)"
  }
}
