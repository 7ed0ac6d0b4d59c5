import ArgumentParser
import Benchmarks

/// `perigee doctor`
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say what of this machine is used, how fast it is, and what is missing.",
    discussion: """
      Processor and its units, cores by affinity mask and control group, caches, memory and its limits, what multiplies, measured rates \
      (about a second), and folders. 'perigee bench machine' measures longer.
      """)

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let doctor = try Doctor.examine()
    print(json ? doctor.json : doctor.text)
  }
}
