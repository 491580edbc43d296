"""Runs Junto and llama.cpp in turn and prints a table. bench/peers.sh starts it, with --libraries."""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMALL_MODEL = ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"


def parse():
    parser = argparse.ArgumentParser(
        prog="bench/peers.sh", description="Junto and llama.cpp in turn on the same files, with the "
        "same threads, in one table with what the machine can do at best.")
    parser.add_argument("models", nargs="*", metavar="MODEL.gguf",
                        help="the small model of the quickstart if none")
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count(),
                        help="of each; one per core if not given")
    parser.add_argument("-p", "--prompt", type=int, default=512, help="tokens of prompt; 512")
    parser.add_argument("-n", "--new", type=int, default=32, help="new tokens after it; 32")
    parser.add_argument("-r", "--rounds", type=int, default=3,
                        help="of each, in turn, each in a new process; 3")
    parser.add_argument("--repetitions", type=int, default=2,
                        help="in each round, after one that warms up; 2")
    parser.add_argument("--backend", help="one of llama.cpp's CPU backends, such as haswell (AVX2), "
                        "and not the one that it chooses for this machine")
    parser.add_argument("--isa", help="the best instructions that Junto may use, such as avx2")
    parser.add_argument("--source", action="store_true",
                        help="llama.cpp as Python's llama-cpp-python builds it here")
    parser.add_argument("--junto", metavar="PROGRAM", default=ROOT / "build/bin/junto",
                        help="build/bin/junto if not given, built where it is missing")
    parser.add_argument("--libraries", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def call(command):
    if subprocess.run(command, stdout=sys.stderr, cwd=ROOT).returncode != 0:
        raise SystemExit(f"peers.sh: failed: {' '.join(map(str, command))}")


def prepare(options):
    """Builds and obtains what was not named."""
    if not options.models:
        call([ROOT / "third_party/smollm2.sh"])
        options.models = [str(SMALL_MODEL)]
    if not Path(options.junto).exists():
        for command in ([ROOT / "third_party/install.sh", "build"],
                        ["cmake", "--preset", "release", "-DJUNTO_BUILD_TESTS=OFF"],
                        ["cmake", "--build", "--preset", "release", "--target", "junto_cli"]):
            call(command)


def run(command):
    """The JSON that a program prints, and how busy the machine was before it."""
    load = os.getloadavg()[0]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"peers.sh: failed with {done.returncode}: {' '.join(map(str, command))}")
    return {**json.loads(done.stdout.decode().splitlines()[-1]), "machine_load": load}


def run_junto(model, options):
    command = [options.junto, "bench", model, "-t", options.threads, "-p", options.prompt,
               "-n", options.new, "-r", options.repetitions, "--json"]
    return run(command + (["--isa", options.isa] if options.isa else []))


def run_llama(model, options, vocabulary):
    command = [sys.executable, ROOT / "bench/libllama.py", options.libraries, model,
               "--vocabulary", vocabulary, "--threads", options.threads,
               "--prompt", options.prompt, "--new", options.new,
               "--repetitions", options.repetitions]
    return run(command + (["--backend", options.backend] if options.backend else []))


def measure(model, options):
    """Rounds of both. Who begins changes from round to round, as a machine's speed drifts."""
    junto, llama, vocabulary = [], [], None
    for i in range(options.rounds):
        for one in ("junto", "llama") if i % 2 == 0 else ("llama", "junto"):
            print(f"== {Path(model).name}: round {i + 1} of {options.rounds}, {one}",
                  file=sys.stderr)
            if one == "junto":
                junto.append(run_junto(model, options))
                vocabulary = junto[0]["vocab"]
            else:
                llama.append(run_llama(model, options, vocabulary))
    return junto, llama


def median(rounds, key):
    return statistics.median(result[key] for result in rounds)


def spread(rounds, key):
    values = [result[key] for result in rounds]
    return f"{min(values):.4g} .. {max(values):.4g}"


def row(name, junto, llama, key, wall, wall_name):
    """Medians, how far rounds lay apart, the ratio, and shares of what the machine can do."""
    ours, theirs = median(junto, key), median(llama, key)
    print(f"  {name:<18}{ours:10.2f}{theirs:12.2f}{ours / theirs:9.2f} x"
          f"{100 * ours / wall:9.0f} %{100 * theirs / wall:7.0f} %   of {wall:.1f}: {wall_name}")
    print(f"    least .. most   {spread(junto, key)}   against {spread(llama, key)}")


def show(model, options, junto, llama):
    first, peer = junto[0], llama[0]
    bytes_per_s, macs_per_s = median(junto, "wall_bytes_per_s"), median(junto, "wall_macs_per_s")
    print(f"\n{Path(model).name}, {options.threads} threads, {options.rounds} rounds of "
          f"{options.prompt} tokens of prompt and {options.new} new ones")
    print(f"  {'':<18}{'Junto':>10}{'llama.cpp':>12}{'ratio':>11}{'of the wall':>16}")
    row("prefill tokens/s", junto, llama, "prefill_tokens_per_s",
        macs_per_s / first["prefill_macs"],
        f"{macs_per_s * 1e-9:.0f} GMAC/s ({first['wall_macs_by']})")
    row("decode tokens/s", junto, llama, "decode_tokens_per_s",
        bytes_per_s / first["decode_bytes"],
        f"{bytes_per_s * 1e-9:.1f} GB/s, {first['decode_bytes'] * 1e-6:.0f} MB a token")
    print(f"  {'load s':<18}{median(junto, 'load_s'):10.2f}{median(llama, 'load_s'):12.2f}")
    if first["wall_dots_per_s"] > 0:
        print(f"  dot products       {median(junto, 'wall_dots_per_s') * 1e-9:.0f} GMAC/s "
              f"({first['wall_dots_by']})")
    print(f"  floats             {median(junto, 'wall_floats_per_s') * 1e-9:.0f} GMAC/s "
          f"({first['wall_floats_by']})")
    print(f"  llama.cpp {peer['version']}, {peer['backend']}, weights in {', '.join(peer['buffers'])}"
          f"\n    {peer['features']}")
    loads = sorted(result["machine_load"] for result in junto + llama)
    print(f"  the machine's load average before a run was {loads[0]:.1f} to {loads[-1]:.1f}",
          flush=True)


def processor():
    match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return match.group(1) if match else platform.machine()


def main():
    options = parse()
    prepare(options)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    print(f"{processor()}, {os.cpu_count()} cores, {memory / 2**30:.0f} GiB")
    for model in options.models:
        show(model, options, *measure(model, options))


if __name__ == "__main__":
    main()
