# epoxy: everything an operator or a developer does from the shell. `make help` lists it.

CARGO   ?= cargo
PREFIX  ?= /usr/local
DESTDIR ?=
DOCDIR   = $(PREFIX)/share/doc/epoxy
UNITDIR  = $(PREFIX)/lib/systemd/system

# `make bench`: which rows and peers, how often and for how long. Empty means all.
ROWS    ?=
PEERS   ?=
ROUNDS  ?= 5
SECONDS ?= 4

.DEFAULT_GOAL := help
.PHONY: help run build test check bench bench-save install uninstall clean

help:
	@echo 'make run      build, then run the demo in the foreground on 127.0.0.1:8080'
	@echo 'make build    release binary: target/release/epoxy'
	@echo 'make check    formatting, clippy and unit tests; quick'
	@echo 'make test     install what the tests need, then run all of them'
	@echo 'make bench    CPU per request beside nginx and haproxy'
	@echo '              ROWS=keepalive,close,large,tcp,tcplarge,workers1,workers2,reload,longest,checks'
	@echo '              PEERS=floor,nginx,haproxy,epoxy'
	@echo '              ROUNDS=5 SECONDS=4; bench-save also keeps the table in benches/results'
	@echo 'make install  PREFIX=/usr/local DESTDIR='
	@echo 'make clean'

build:
	$(CARGO) build --release --bins

run: build
	@sh contrib/demo/run.sh target/release/epoxy

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test --lib --bins

test:
	@bash tests/all.sh

# The benchmark is an example, so that it and the proxy are built exactly as the release is:
# the profile of `cargo bench` would change how the proxy panics, and so its code.
bench: build
	@bash tests/setup.sh
	$(CARGO) build --release --example bench
	target/release/examples/bench --rows '$(ROWS)' --peers '$(PEERS)' \
		--rounds $(ROUNDS) --seconds $(SECONDS) $(BENCH_FLAGS)

bench-save:
	$(MAKE) bench BENCH_FLAGS=--save

install:
	@test -x target/release/epoxy || { echo 'run "make build" first'; exit 1; }
	install -D -m 755 target/release/epoxy '$(DESTDIR)$(PREFIX)/sbin/epoxy'
	ln -sfn epoxy '$(DESTDIR)$(PREFIX)/sbin/haproxy'
	install -d '$(DESTDIR)$(UNITDIR)'
	sed 's|@PREFIX@|$(PREFIX)|g' contrib/systemd/epoxy.service > '$(DESTDIR)$(UNITDIR)/epoxy.service'
	chmod 644 '$(DESTDIR)$(UNITDIR)/epoxy.service'
	install -d '$(DESTDIR)$(DOCDIR)/examples'
	for f in README.md ARCHITECTURE.md CHANGELOG.md; do \
		if [ -f $$f ]; then install -m 644 $$f '$(DESTDIR)$(DOCDIR)/'; fi; done
	install -m 644 contrib/demo/demo.cfg '$(DESTDIR)$(DOCDIR)/examples/'
	cp -R --no-preserve=ownership contrib/keepalived contrib/ecmp contrib/ipvs contrib/kubernetes contrib/rsyslog \
		contrib/logrotate contrib/sysctl contrib/init '$(DESTDIR)$(DOCDIR)/examples/'
	sed 's|@PREFIX@|$(PREFIX)|g' contrib/init/epoxy > '$(DESTDIR)$(DOCDIR)/examples/init/epoxy'

uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/sbin/epoxy' '$(DESTDIR)$(PREFIX)/sbin/haproxy' '$(DESTDIR)$(UNITDIR)/epoxy.service'
	rm -rf '$(DESTDIR)$(DOCDIR)'

clean:
	$(CARGO) clean
	rm -rf tests/artifacts
