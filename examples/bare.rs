use epoxy::proxy::*;
use epoxy::event::{core::Core, worker::{Clock, Worker}};
use epoxy::session::services::Services;
fn main() {
    let mut c = Config::default();
    let mut f = Frontend { name: "f".into(), mode: Mode::Http, default_backend: Some(BackendId(0)), ..Default::default() };
    f.timeouts.client = Some(epoxy::time::Millis(30000));
    let listen: std::net::SocketAddr = std::env::args().nth(1).unwrap().parse().unwrap();
    f.binds.push(Bind { uuid: 1, name: None, address: ListenAddress::Ip(listen), options: Default::default() });
    c.frontends.push(f);
    let mut b = Backend { name: "b".into(), mode: Mode::Http, servers: 0..1, retries: 3, ..Default::default() };
    b.timeouts.server = Some(epoxy::time::Millis(30000));
    b.timeouts.connect = Some(epoxy::time::Millis(5000));
    c.backends.push(b);
    c.servers.push(Server { name: "s".into(), uuid: 1, backend: BackendId(0), address: ServerAddress::Ip(std::env::args().nth(2).unwrap().parse().unwrap()), fqdn: None, weight: 1, backup: false, maxconn: None, maxqueue: None, admin: Default::default(), check: None, pool_max_conn: None, pool_purge_delay: epoxy::time::Millis(5000), pool_low_conn: 0, cookie: None });
    let config: &'static Config = Box::leak(Box::new(c));
    let poll = mio::Poll::new().unwrap();
    let clock = Clock::new();
    let services = Services::new(config, epoxy::stats::Counters::private(config), clock.now(), epoxy::transport::Net::Real(poll.registry().try_clone().unwrap()));
    let core = Core::new(services);
    let mut w = Worker::new(poll, clock, core);
    let s = std::net::TcpListener::bind(listen).unwrap();
    s.set_nonblocking(true).unwrap();
    let reg = w.registry().try_clone().unwrap();
    w.listeners.add(&reg, &w.core, s.into(), FrontendId(0), 0).unwrap();
    w.run().unwrap();
}
