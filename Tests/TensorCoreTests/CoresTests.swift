import CLimits
import Files
import TestSupport
import Testing

/// How many cores the quota of a control group comes to, read from files like those below `/sys/fs/cgroup`.
@Suite struct CoresTests {
  private struct Case {
    let groups: String
    let files: [String: String]
    let cores: Int
  }

  private static let unlimited = Int(PTRDIFF_MAX)

  private static let cases = [
    Case(groups: "0::/job/step\n", files: ["job/step/cpu.max": "150000 100000\n"], cores: 2),
    // The least of all groups above counts; the names of controllers are whole words.
    Case(groups: "0::/job/step\n", files: ["job/step/cpu.max": "max 100000\n", "job/cpu.max": "300000 100000\n"], cores: 3),
    Case(groups: "0::/\n", files: ["cpu.max": "10000 100000\n"], cores: 1),
    Case(groups: "0::/\n", files: ["cpu.max": "max 100000\n"], cores: unlimited),
    Case(groups: "0::/gone\n", files: ["other/cpu.max": "100000 100000\n"], cores: unlimited),
    Case(
      groups: "5:memory:/m\n4:cpu,cpuacct:/job\n", files: ["cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "100000\n"],
      cores: 3),
    Case(groups: "4:cpu:/job\n", files: ["cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"], cores: unlimited),
    Case(groups: "4:cpuset:/job\n", files: ["cpu/job/cpu.cfs_quota_us": "100000\n", "cpu/job/cpu.cfs_period_us": "100000\n"], cores: unlimited),
  ]

  @Test func quotasCountInWholeCores() throws {
    for (place, one) in Self.cases.enumerated() {
      try withTemporaryFolder { folder in
        try AtomicFile.write(one.groups, to: folder + "/groups")
        for (name, text) in one.files {
          try createFolder(FilePath.folder(of: "\(folder)/root/\(name)"))
          try AtomicFile.write(text, to: "\(folder)/root/\(name)")
        }
        #expect(cl_quota_cores(folder + "/groups", folder + "/root") == one.cores, "case \(place)")
      }
    }
    #expect(cl_cores() >= 1)
  }
}
