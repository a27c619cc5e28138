//! trial
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

static CONNS: AtomicUsize = AtomicUsize::new(0);

async fn get(addr: std::net::SocketAddr, path: &str) -> String {
    call(addr, path, "").await
}
async fn call(addr: std::net::SocketAddr, path: &str, extra: &str) -> String {
    let mut s = TcpStream::connect(addr).await.unwrap();
    s.write_all(format!("GET {path} HTTP/1.1\r\nHost: bot.example:80\r\nConnection: close\r\n{extra}\r\n").as_bytes()).await.unwrap();
    let mut out = Vec::new();
    let _ = s.read_to_end(&mut out).await;
    let text = String::from_utf8_lossy(&out).into_owned();
    match text.split_once("\r\n\r\n") {
        Some((head, mut rest)) if head.contains("chunked") => {
            let mut body = String::new();
            while let Some((n, r)) = rest.split_once("\r\n") { let n = usize::from_str_radix(n, 16).unwrap(); if n == 0 { break } body += &r[..n]; rest = &r[n + 2..]; }
            format!("{head}\r\n\r\n{body}")
        }
        _ => text,
    }
}

async fn stand_in() -> std::net::SocketAddr {
    let l = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = l.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut s, _) = l.accept().await.unwrap();
            CONNS.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buf = vec![0; 65536];
                loop {
                    let mut req = String::new();
                    while !req.contains("\r\n\r\n") {
                        let n = s.read(&mut buf).await.unwrap_or(0);
                        if n == 0 { println!("  stand-in: closed by peer"); return; }
                        req += &String::from_utf8_lossy(&buf[..n]);
                    }
                    let path = req.split(' ').nth(1).unwrap().to_string();
                    println!("  stand-in got: {:?}", &req[..req.len().min(250)]);
                    let w = async |s: &mut TcpStream, t: &str| { s.write_all(t.as_bytes()).await.ok(); };
                    match path.as_str() {
                        "/frames" => {
                            w(&mut s, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                            for i in 0..3 { tokio::time::sleep(Duration::from_millis(150)).await; w(&mut s, &format!("3\r\nfr{i}\r\n")).await; }
                            w(&mut s, "0\r\n\r\n").await;
                        }
                        "/slow" => { tokio::time::sleep(Duration::from_millis(600)).await; w(&mut s, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await; }
                        "/hang" => { w(&mut s, "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nab").await; }
                        "/redirect" => w(&mut s, "HTTP/1.1 302 Found\r\nlocation: /frames\r\ncontent-length: 0\r\n\r\n").await,
                        "/bad" => { w(&mut s, "nonsense\r\n\r\n").await; return }
                        _ => w(&mut s, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await,
                    }
                }
            });
        }
    });
    a
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let redis = std::env::args().nth(1).unwrap();
    let api = stand_in().await;
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let options = |vars: &[(&str, &str)], kv: Option<String>, only: Option<&[&str]>| {
        let lines = lines.clone();
        let mut variables: BTreeMap<String, String> = [("secret", "s3cret"), ("redis_url", &*redis), ("redis_origin", &*redis)].map(|(a, b)| (a.to_string(), b.to_string())).into();
        variables.insert("api".into(), format!("http://{api}"));
        for (a, b) in vars { variables.insert(a.to_string(), b.to_string()); }
        host::Options {
            manifest: "/tmp/guests/spin.toml".into(), variables, key_value_redis: kv,
            components: only.map(|o| o.iter().map(|s| s.to_string()).collect()),
            listen: "127.0.0.1:0".parse().unwrap(),
            log: Arc::new(move |c, l| { println!("  [{c}] {l}"); lines.lock().unwrap().push(l.to_string()); }),
        }
    };
    let t = Instant::now();
    let host = host::start(options(&[], Some(redis.clone()), None)).await?;
    println!("started in {:?} at {}", t.elapsed(), host.address());
    let a = host.address();
    println!("{}", call(a, "/echo?x=1", "spin-client-addr: forged\r\nx-y: z\r\n").await);
    println!("{}", get(a, "/wild/a/b").await.lines().filter(|l| l.contains("spin-path") || l.contains("route")).collect::<Vec<_>>().join("\n"));
    println!("404: {}", get(a, "/nope").await.lines().next().unwrap());
    println!("health: {}", get(a, "/.well-known/spin/health").await.lines().last().unwrap());
    println!("err: {:?}", get(a, "/x/err").await);
    println!("log: {}", get(a, "/x/log").await.lines().last().unwrap());
    println!("var: {}", get(a, "/x/var?name=secret").await.lines().last().unwrap());
    println!("var: {}", get(a, "/x/var?name=api").await.lines().last().unwrap());
    println!("var: {}", get(a, "/x/var?name=BAD").await.lines().last().unwrap());
    println!("kv: {}", get(a, "/x/kv").await.lines().last().unwrap());
    println!("redis: {}", get(a, &format!("/x/redis?url={redis}")).await.split("\r\n\r\n").nth(1).unwrap());
    println!("redis denied: {}", get(a, "/x/redis?url=redis://127.0.0.1:1").await.lines().last().unwrap());
    println!("redis many: {}", get(a, &format!("/x/redis-many?url={redis}")).await.lines().last().unwrap());
    let t = Instant::now();
    let slow = tokio::spawn(async move { get(a, "/x/slow?ms=500").await });
    let blpop = format!("/x/blpop?url={redis}");
    let (b, quick) = tokio::join!(get(a, &blpop), async { tokio::time::sleep(Duration::from_millis(100)).await; let r = get(a, "/x/slow?ms=1").await; (t.elapsed(), r) });
    println!("while blpop runs: quick answered at {:?} {}; blpop {} at {:?}", quick.0, quick.1.lines().last().unwrap(), b.lines().last().unwrap(), t.elapsed());
    println!("slow: {}", slow.await?.lines().last().unwrap());
    for (name, path) in [
        ("frames", "/x/get?url=http://API/frames"), ("first", "/x/get?first=200&url=http://API/slow"), ("ok slow", "/x/get?url=http://API/slow"),
        ("between", "/x/get?between=200&url=http://API/hang"), ("redirect", "/x/get?url=http://API/redirect"), ("bad", "/x/get?url=http://API/bad"),
        ("denied", "/x/get?url=http://127.0.0.1:1/"), ("denied self", "/x/get?url=/echo"), ("https", "/x/get?url=https://a.example.com/"), ("post", "/x/post?url=http://API/post"), ("both", "/x/both?url=http://API/slow"),
    ] {
        println!("{name}: {}", get(a, &path.replace("API", &api.to_string())).await.lines().last().unwrap_or("-"));
    }
    let before = CONNS.load(Ordering::SeqCst);
    for _ in 0..5 { get(a, &format!("/x/get?url=http://{api}/again")).await; }
    println!("pool: 5 calls took {} connections", CONNS.load(Ordering::SeqCst) - before);
    println!("stream:");
    {
        let mut s = TcpStream::connect(a).await?;
        s.write_all(b"GET /x/stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await?;
        let t = Instant::now();
        let mut buf = vec![0; 4096];
        loop { let n = s.read(&mut buf).await?; if n == 0 { break } println!("  {:?} {:?}", t.elapsed(), String::from_utf8_lossy(&buf[..n])); }
    }
    println!("spawn: {}", get(a, "/spawn?ms=1500").await.lines().last().unwrap());
    tokio::time::sleep(Duration::from_millis(1800)).await;
    println!("panic kills others:");
    let others: Vec<_> = (0..3).map(|_| tokio::spawn(async move { get(a, "/x/slow?ms=800").await })).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    println!("  panic: {:?}", get(a, "/x/panic").await);
    for o in others { println!("  other: {:?}", o.await?.lines().next()); }
    println!("  after: {:?}", get(a, "/x/slow?ms=1").await.lines().last());
    println!("panic later: {:?}", get(a, "/x/panic-later").await.lines().last());
    tokio::time::sleep(Duration::from_millis(400)).await;
    println!("idle 1s, then count restarts: {:?}", get(a, "/x/slow?ms=1").await.lines().last());
    tokio::time::sleep(Duration::from_millis(1300)).await;
    println!("  {:?}", get(a, "/x/slow?ms=1").await.lines().last());
    // limits: 40 at once -> several instances
    let t = Instant::now();
    let many: Vec<_> = (0..40).map(|_| tokio::spawn(async move { get(a, "/x/slow?ms=300").await.lines().last().unwrap().to_string() })).collect();
    let mut r = vec![]; for m in many { r.push(m.await?); } r.sort();
    println!("40 at once in {:?}: {:?}", t.elapsed(), r);
    for _ in 0..130 { get(a, "/x/slow?ms=0").await; }
    println!("no host header: {:?}", { let mut s = TcpStream::connect(a).await?; s.write_all(b"GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n").await?; let mut o = vec![]; let _ = s.read_to_end(&mut o).await; String::from_utf8_lossy(&o).into_owned() });
    println!("big body: {:?}", { let mut s = TcpStream::connect(a).await?; s.write_all(b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\ncontent-length: 20000000\r\n\r\n").await?; s.write_all(&vec![b'x'; 20_000_000]).await?; let mut o = vec![]; let _ = s.read_to_end(&mut o).await; String::from_utf8_lossy(&o).contains("body 20000000") });
    {
        let blpop = format!("/x/blpop?url={redis}");
        get(a, "/x/slow?ms=0").await;
        let b = tokio::spawn(async move { get(a, &blpop).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..4 { let t = Instant::now(); println!("during blpop: {:?} {:?}", get(a, "/x/slow?ms=20").await.lines().last(), t.elapsed()); }
        println!("blpop: {:?}", b.await?.lines().last());
    }
    println!("REDIS TRIGGER");
    let client = redis::Client::open(&*redis)?;
    let mut c = client.get_multiplexed_async_connection().await?;
    for m in ["a", "slow", "b", "err", "panic", "spawn", "http", "c"] { let n: i64 = redis::cmd("PUBLISH").arg("trial/wake").arg(m).query_async(&mut c).await?; assert_eq!(n, 1); }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    println!("STOP kills background work");
    let _: () = redis::cmd("DEL").arg("spawned").query_async(&mut c).await?;
    get(a, "/spawn?ms=500").await;
    let t = Instant::now();
    host.stop().await;
    println!("stopped in {:?}; connect: {:?}", t.elapsed(), TcpStream::connect(a).await.map(|_| ()));
    tokio::time::sleep(Duration::from_millis(800)).await;
    println!("spawned key: {:?}", redis::cmd("GET").arg("spawned").query_async::<Option<String>>(&mut c).await?);
    let t = Instant::now();
    let host = host::start(options(&[("redis_origin", "redis://127.0.0.1:6379/1")], None, Some(&["web"]))).await?;
    println!("second start in {:?}", t.elapsed());
    let a = host.address();
    println!("broken list http: {}", get(a, &format!("/x/get?url=http://{api}/")).await.lines().last().unwrap());
    println!("broken list redis: {}", get(a, &format!("/x/redis?url={redis}")).await.lines().last().unwrap());
    println!("kv memory: {}", get(a, "/x/kv").await.lines().last().unwrap());
    let n: i64 = redis::cmd("PUBLISH").arg("trial/wake").arg("x").query_async(&mut c).await?;
    println!("subscribers: {n}");
    drop(host);
    tokio::time::sleep(Duration::from_millis(300)).await;
    println!("dropped: connect {:?}", TcpStream::connect(a).await.map(|_| ()));
    println!("start errors: {:#}", host::start(options(&[("redis_url", "redis://127.0.0.1:1")], None, None)).await.err().unwrap());
    println!("start errors: {:#}", host::start(options(&[("api", "x"), ("nope", "1")], None, None)).await.err().unwrap());
    println!("start errors: {:#}", host::start(options(&[], None, Some(&["who"]))).await.err().unwrap());
    let host = host::start(options(&[], Some(redis.clone()), None)).await?;
    println!("REDIS LOST"); get(host.address(), "/spawn?ms=3000").await;
    let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").query_async::<()>(&mut c).await;
    println!("ended: {}", tokio::time::timeout(Duration::from_secs(5), host.ended()).await?);
    println!("connect: {:?}", TcpStream::connect(host.address()).await.map(|_| ()));
    for (w, file) in [("slack-command", "web"), ("sync-poller", "sub"), ("sync-poller", "web")] {
        let wasm = std::fs::read(format!("/tmp/target-host-guests/wasm32-wasip2/release/{file}.wasm"))?;
        println!("{file} in {w}: {:?}", host::imports_outside_world(&wasm, "/work/main/wit".as_ref(), w)?);
    }
    Ok(())
}
