//! What a client does at one time: the ways of calling Bedrock, one function each. What is no proper call is in
//! `oddities`.

use std::time::Duration;

use super::super::acts::{Acts, Coding, Delimited, Nonsense};
use super::super::dice::Dice;
use super::super::reading::Pace;
use super::call::{Call, Kind, Request, Upload};
use super::exchange::{Manner, Moment, converse, desert};
use super::line::Door;
use super::{Client, Opened, hosts};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Calls one after the other on one connection.
    Calls,
    /// One call, one connection.
    Call,
    Pipeline,
    Upload,
    SlowUpload,
    Download,
    SlowDownload,
    Coded,
    /// Answers that break off.
    Broken,
    /// Answers that are none.
    Nonsense,
    /// Answers before the request has been read.
    Early,
    Moody,
    Weather,
    Deserted,
    Idle,
    Mint,
    Expect,
    Http10,
    HalfClosed,
    Errors,
    BadBody,
    Misdirected,
    Malformed,
    Blank,
    Landing,
    Http2,
    Distrust,
    Tunnel,
    Refused,
}

const WEIGHTS: [(u64, Visit); 29] = [
    (220, Visit::Calls),
    (150, Visit::Call),
    (50, Visit::Pipeline),
    (25, Visit::Upload),
    (15, Visit::SlowUpload),
    (25, Visit::Download),
    (20, Visit::SlowDownload),
    (60, Visit::Coded),
    (60, Visit::Broken),
    (30, Visit::Nonsense),
    (20, Visit::Early),
    (50, Visit::Moody),
    (50, Visit::Weather),
    (110, Visit::Deserted),
    (25, Visit::Idle),
    (50, Visit::Mint),
    (20, Visit::Expect),
    (20, Visit::Http10),
    (20, Visit::HalfClosed),
    (30, Visit::Errors),
    (15, Visit::BadBody),
    (15, Visit::Misdirected),
    (50, Visit::Malformed),
    (30, Visit::Blank),
    (10, Visit::Landing),
    (10, Visit::Http2),
    (10, Visit::Distrust),
    (40, Visit::Tunnel),
    (30, Visit::Refused),
];

impl Visit {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        dice.weighted(&WEIGHTS, Self::Calls)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls on one connection",
            Self::Call => "a call and a connection",
            Self::Pipeline => "pipelined calls",
            Self::Upload => "large upload",
            Self::SlowUpload => "slow writer",
            Self::Download => "large answer",
            Self::SlowDownload => "slow reader",
            Self::Coded => "compressed or oddly framed answer",
            Self::Broken => "answer that breaks off",
            Self::Nonsense => "answer that is no HTTP",
            Self::Early => "answer before the request's end",
            Self::Moody => "upstream that hangs up unannounced",
            Self::Weather => "upstream in bad weather",
            Self::Deserted => "client that vanishes",
            Self::Idle => "idle connection",
            Self::Mint => "new host name",
            Self::Expect => "100-continue",
            Self::Http10 => "HTTP/1.0",
            Self::HalfClosed => "half-closed client",
            Self::Errors => "error of AWS",
            Self::BadBody => "malformed body",
            Self::Misdirected => "misdirected call",
            Self::Malformed => "malformed request",
            Self::Blank => "connection without a request",
            Self::Landing => "browser",
            Self::Http2 => "HTTP/2 client",
            Self::Distrust => "distrustful client",
            Self::Tunnel => "blind tunnel",
            Self::Refused => "refused host",
        }
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Client {
    /// Makes a visit.
    pub(super) async fn visit(&mut self, visit: Visit) {
        match visit {
            Visit::Calls => self.calls().await,
            Visit::Pipeline => self.pipeline().await,
            Visit::Deserted => self.deserted().await,
            Visit::Idle => self.idle().await,
            Visit::Mint => self.mint().await,
            Visit::Moody => self.moody().await,
            Visit::HalfClosed => self.half_closed().await,
            Visit::BadBody => self.bad_body().await,
            Visit::Misdirected => self.misdirected().await,
            Visit::Malformed => self.malformed().await,
            Visit::Blank => self.blank().await,
            Visit::Landing => self.landing().await,
            Visit::Http2 => self.http2().await,
            Visit::Distrust => self.distrust().await,
            Visit::Tunnel => self.tunnel().await,
            Visit::Refused => self.refused().await,
            _ => self.single(visit).await,
        }
    }

    fn kind(&mut self) -> Kind {
        *self.dice.pick(&Kind::CONVERSE, &Kind::GOOD)
    }

    fn call(&mut self) -> Call {
        let kind = self.kind();
        Call::new(kind, hosts::STEADY, &mut self.dice)
    }

    /// Writes `call` for a connection through `door`; what cannot be written is noted.
    pub(super) fn request(&mut self, call: &Call, door: Door, opened: &Opened) -> Option<Request> {
        let request = call.request(door, opened.line.local, &mut self.dice);
        match request {
            Ok(mut request) => {
                request.asked.troubled |=
                    [hosts::MOODY, hosts::WEATHER].contains(&call.host.as_str());
                Some(request)
            }
            Err(error) => {
                self.book
                    .find(format!("a call could not be signed: {error}"));
                None
            }
        }
    }

    /// One call on an open connection; whether another may follow.
    async fn ask(&mut self, opened: &mut Opened, door: Door, call: &Call, manner: Manner) -> bool {
        let Some(request) = self.request(call, door, opened) else {
            return false;
        };
        converse(
            &self.book,
            opened.generation,
            &mut opened.line,
            &[request],
            manner,
        )
        .await
    }

    /// One call on a connection of its own.
    async fn once(&mut self, door: Door, call: Call, manner: Manner) {
        let Some(mut opened) = self.open(door, &call.host).await else {
            return;
        };
        self.ask(&mut opened, door, &call, manner).await;
        let going = self.going();
        opened.line.go(going).await;
    }

    async fn calls(&mut self) {
        let door = self.door();
        let Some(mut opened) = self.open(door, hosts::STEADY).await else {
            return;
        };
        for _ in 0..self.dice.between(2, 8) {
            let mut call = self.call();
            if self.dice.percent(20) {
                call.upload = Upload::Chunks(self.dice.size(1, 300));
            }
            if self.dice.percent(20) {
                call.acts.wait = self.dice.between(1, 60);
            }
            let persists = self.ask(&mut opened, door, &call, Manner::BRISK).await;
            if !persists || self.has_to_stop() {
                break;
            }
        }
        let going = self.going();
        opened.line.go(going).await;
    }

    async fn pipeline(&mut self) {
        let door = self.door();
        let Some(mut opened) = self.open(door, hosts::STEADY).await else {
            return;
        };
        let mut requests = Vec::new();
        for n in 0..self.dice.between(2, 4) {
            let call = self.call();
            let Some(mut request) = self.request(&call, door, &opened) else {
                return;
            };
            request.asked.follows = n > 0;
            requests.push(request);
        }
        converse(
            &self.book,
            opened.generation,
            &mut opened.line,
            &requests,
            Manner::BRISK,
        )
        .await;
        let going = self.going();
        opened.line.go(going).await;
    }

    async fn single(&mut self, visit: Visit) {
        let mut door = self.door();
        let mut call = self.call();
        let mut manner = Manner::BRISK;
        let dice = &mut self.dice;
        let slow = |dice: &mut Dice| Pace {
            piece: dice.size(8 * KIB, 32 * KIB),
            pause: Duration::from_millis(dice.between(1, 6)),
        };
        match visit {
            Visit::Upload | Visit::SlowUpload => {
                let most = if visit == Visit::Upload { 4 * MIB } else { MIB };
                call.text = "soaked through ".repeat(dice.size(64 * KIB, most) / 15);
                if dice.percent(50) {
                    call.upload = Upload::Chunks(dice.size(1000, 100_000));
                }
                if visit == Visit::SlowUpload {
                    manner.write = slow(dice);
                }
            }
            Visit::Download | Visit::SlowDownload => {
                call.kind = *dice.pick(&Kind::CONVERSE, &[Kind::CONVERSE_STREAM, Kind::INVOKE]);
                let most = if visit == Visit::Download {
                    4 * MIB
                } else {
                    MIB
                };
                call.acts.pad = dice.size(64 * KIB, most);
                if visit == Visit::SlowDownload {
                    manner.read = slow(dice);
                }
            }
            Visit::Coded => call.acts = coded(dice),
            Visit::Broken => call.acts = broken(dice),
            Visit::Nonsense => {
                call.acts.nonsense = Some(*dice.pick(&Nonsense::Noise, &Nonsense::ALL));
            }
            Visit::Early => {
                call.acts.early = true;
                call.text = "much too long ".repeat(dice.size(1, 40_000));
            }
            Visit::Weather => hosts::WEATHER.clone_into(&mut call.host),
            Visit::Expect => {
                call.expects = true;
                call.text = "worth waiting for ".repeat(dice.size(1, 4000));
            }
            Visit::Http10 => {
                call.version = "HTTP/1.0";
                call.kind = *dice.pick(&Kind::CONVERSE, &[Kind::INVOKE]);
            }
            Visit::Errors => call.kind = *dice.pick(&Kind::EXCEPTION, &Kind::BAD),
            _ => {
                call.closes = dice.percent(30);
                call.acts.close = dice.percent(20);
                call.acts.second = dice.percent(10);
                call.acts.interim = dice.between(0, 9).saturating_sub(6);
            }
        }
        if visit == Visit::Weather && dice.percent(80) {
            // One name, one pool: a door that reaches the host by name.
            door = Door::Connect;
        }
        if visit == Visit::Weather {
            for _ in 0..self.dice.between(1, 3) {
                self.once(door, call.clone(), manner).await;
            }
            return;
        }
        self.once(door, call, manner).await;
    }

    async fn moody(&mut self) {
        let door = self.door();
        let Some(mut opened) = self.open(door, hosts::MOODY).await else {
            return;
        };
        for _ in 0..self.dice.between(1, 4) {
            let mut call = self.call();
            hosts::MOODY.clone_into(&mut call.host);
            let pause = self.dice.between(0, 30);
            if self.dice.percent(30) {
                call.acts.noise_after = Some(pause);
            } else if self.dice.percent(70) {
                call.acts.hangs_up = Some((pause, self.going()));
            }
            if !self.ask(&mut opened, door, &call, Manner::BRISK).await {
                break;
            }
            let pause = Duration::from_millis(self.dice.between(0, 40));
            self.rest(pause).await;
        }
        let going = self.going();
        opened.line.go(going).await;
    }

    async fn deserted(&mut self) {
        let door = self.door();
        let Some(opened) = self.open(door, hosts::STEADY).await else {
            return;
        };
        let dice = &mut self.dice;
        let wait = dice.between(0, 60);
        let moment = match dice.between(0, 4) {
            0 => Moment::InHead,
            1 => Moment::AfterHead,
            2 => Moment::InBody,
            3 => Moment::Waiting(Duration::from_millis(wait)),
            _ => Moment::InAnswer(dice.size(0, 8000)),
        };
        let mut call = self.call();
        match moment {
            Moment::InBody => call.text = call.text.repeat(50),
            Moment::Waiting(_) => call.acts.wait = self.dice.between(0, 120),
            Moment::InAnswer(_) => {
                call.kind = *self.dice.pick(&Kind::CONVERSE_STREAM, &[Kind::INVOKE]);
                // More than is read of it, or the client would wait for what never comes.
                call.acts.pad = self.dice.size(16 * KIB, 64 * KIB);
                call.acts.pace = Some((4096, 3));
                if self.dice.percent(30) {
                    call.acts.delimited = Some(Delimited::Close);
                }
            }
            Moment::InHead | Moment::AfterHead => {}
        }
        let Some(request) = self.request(&call, door, &opened) else {
            return;
        };
        let going = self.going();
        desert(
            &self.book,
            opened.generation,
            opened.line,
            &request,
            moment,
            going,
        )
        .await;
    }

    /// Opens a connection and lets it lie before it is used, or not used at all.
    async fn idle(&mut self) {
        let door = self.door();
        let Some(mut opened) = self.open(door, hosts::STEADY).await else {
            return;
        };
        let pause = Duration::from_millis(self.dice.between(100, 12_000));
        self.rest(pause).await;
        if self.dice.percent(70) {
            let call = self.call();
            if self.ask(&mut opened, door, &call, Manner::BRISK).await {
                self.rest(pause / 2).await;
            }
        }
        let going = self.going();
        opened.line.go(going).await;
    }

    /// A host that no certificate has been made for yet.
    async fn mint(&mut self) {
        let n = self.dice.roll();
        let host = format!("vpce-{n:016x}.bedrock-runtime.us-east-1.vpce.amazonaws.com");
        let door = *self.dice.pick(
            &Door::Connect,
            &[Door::ConnectInTls, Door::Transparent, Door::Forward],
        );
        let mut call = self.call();
        call.host = host;
        self.once(door, call, Manner::BRISK).await;
    }

    /// A client without TLS that says that it will send no more, and waits for its answer.
    async fn half_closed(&mut self) {
        let door = *self
            .dice
            .pick(&Door::Route, &[Door::Forward, Door::TransparentPlain]);
        let mut call = self.call();
        call.acts.wait = self.dice.between(0, 40);
        let manner = Manner {
            half_close: true,
            ..Manner::BRISK
        };
        self.once(door, call, manner).await;
    }
}

/// Every content coding and every framing.
fn coded(dice: &mut Dice) -> Acts {
    let codings = [
        Some(Coding::Gzip),
        Some(Coding::Deflate),
        Some(Coding::Brotli),
        Some(Coding::Zstd),
    ];
    let delimited = [
        Some(Delimited::Chunks),
        Some(Delimited::Length),
        Some(Delimited::Close),
        Some(Delimited::Http10),
    ];
    Acts {
        coding: *dice.pick(&None, &codings),
        delimited: *dice.pick(&None, &delimited),
        pad: if dice.percent(30) {
            dice.size(1, 40_000)
        } else {
            0
        },
        stall: if dice.percent(20) {
            dice.between(1, 300)
        } else {
            0
        },
        pace: if dice.percent(40) {
            Some((dice.size(16, 1500), dice.between(0, 3)))
        } else {
            None
        },
        ..Acts::default()
    }
}

/// Every way to break off.
fn broken(dice: &mut Dice) -> Acts {
    use super::super::acts::Going;
    let going = *dice.pick(&Going::Close, &Going::ALL);
    let mut acts = Acts {
        wait: dice.between(0, 30),
        ..Acts::default()
    };
    match dice.between(0, 4) {
        0 => acts.gone = Some(going),
        1 => acts.gone_at_head = Some(going),
        _ => {
            acts.cut = Some((dice.between(0, 999), going));
            acts.delimited = *dice.pick(&None, &[Some(Delimited::Close), Some(Delimited::Chunks)]);
            acts.pace = dice.percent(50).then_some((300, 2));
        }
    }
    acts
}
