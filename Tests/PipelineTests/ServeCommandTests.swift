import Files
import TestSupport
import Testing

/// `perigee serve`, as a process.
@Suite(.serialized, .enabled(if: perigeeExecutable != nil, "perigee is not built")) struct ServeCommandTests {
  /// Signals end it when it has answered, with the codes of the house.
  @Test func itSaysItsAddressAndEndsBySignals() throws {
    try withTemporaryFolder { folder in
      for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let script = """
          rm -f address
          "$@" serve builtin:tiny --port 0 --precision fp32 --threads 1 --verbose >address 2>log &
          until grep -q http address; do kill -0 $! || exit 1; sleep 0.05; done
          port=$(sed 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/' address)
          exec 3<>/dev/tcp/127.0.0.1/$port
          printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3
          cat <&3
          kill -\(signal) $!
          wait $!
          echo "code $?"
          """
        let outcome = try bash(["-c", script, "bash", #require(perigeeExecutable)], in: folder)
        #expect(outcome.output.contains("HTTP/1.1 200 OK") && outcome.output.hasSuffix("code \(code)\n"), "\(outcome)")
        let log = try readText(folder + "/log")
        #expect(log.contains("GET /health 200") && log.hasSuffix("perigee: interrupted\n"), "\(log)")
      }
    }
  }

  @Test func mistakesAreNamed() throws {
    try withTemporaryFolder { folder in
      for (arguments, words) in [
        (["nowhere"], "nowhere"), (["builtin:tiny", "--host", "0.0.0.0"], "no token keeps them out"),
        (["builtin:tiny", "--host", "0.0.0.0", "--token", ""], "expected letters"), (["builtin:tiny", "--port", "70000"], "--port 70000"),
        (["builtin:tiny", "--max-body", "x"], "--max-body x"),
        (["builtin:tiny", "--host", "example.org", "--token", "x"], "no numeric address"),
        (["builtin:tiny", "x=builtin:tiny", "--adapter", "y"], "an adapter belongs to one"),
        (["builtin:tiny", "builtin:tiny"], "give it another one"),
        ([], "model-or-run"),
      ] {
        let outcome = try perigee(["serve"] + arguments + ["--precision", "fp32"], in: folder)
        #expect(outcome.code == 1 && outcome.error.contains(words) && outcome.output.isEmpty, "\(arguments): \(outcome)")
      }
    }
  }
}
