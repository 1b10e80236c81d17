//! Who a request is from, as far as the gate asks: a name that was proven on the proxy hop, or a refusal.
//!
//! A name is proven by a client certificate of the port's own TLS or by Basic credentials (`authentication`). What the
//! CONNECT around a tunnel has proven counts for everything inside; nobody is asked for proxy credentials in a tunnel. Where
//! nobody is asked, the name in `Proxy-Authorization` is a claim. Also here: the access rules, as an exchange meets them.

use std::net::IpAddr;

use super::Services;
use super::authentication::{Offered, Wrongly};
use super::caller;
use super::reply::{Kind, Reply};
use super::route::{Plan, Route, Scope};
use crate::aws::sigv4::{self, Credentials};
use crate::config::password::PasswordHash;
use crate::config::{Attempt, Policy};
use crate::ledger::Entry;
use crate::wire::http1::RequestHead;

/// A proxy user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProxyUser {
    /// The name, if there is one.
    pub(super) name: Option<String>,
    proof: Option<Proof>,
}

/// What a name was proven by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// The password that was kept as this then.
    Password(PasswordHash),
    Certificate,
}

impl ProxyUser {
    /// Whom a certificate names that the port's TLS has verified.
    pub(super) fn certified(name: String) -> Self {
        Self {
            name: Some(name),
            proof: Some(Proof::Certificate),
        }
    }

    fn claimed(name: Option<String>) -> Self {
        Self { name, proof: None }
    }

    /// Whether the name is proven, and still that of somebody who may pass.
    fn holds(&self, policy: &Policy) -> bool {
        match &self.proof {
            None => false,
            Some(Proof::Certificate) => true,
            Some(Proof::Password(hash)) => {
                let now = |users: &std::sync::Arc<crate::config::Users>| {
                    let name = self.name.as_deref()?;
                    users.hash(name).cloned()
                };
                policy.users.as_ref().and_then(now).as_ref() == Some(hash)
            }
        }
    }

    /// The name for rules, which hold nobody to a claim.
    pub(super) fn proven(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.proof.is_some())
    }
}

/// Whether clients are asked who they are. The gate of a run is for one command, which has no credentials for it.
fn asks(services: &Services, policy: &Policy) -> bool {
    let settings = &services.settings;
    settings.run.is_none() && (policy.users.is_some() || settings.client_ca.is_some())
}

/// Who a request is from that is going by `route`. `known`: who the layer it came in belongs to.
///
/// # Errors
/// What to tell somebody who is nobody here.
pub(super) async fn identify(
    services: &Services,
    policy: &Policy,
    client: IpAddr,
    (head, scope, route): (&RequestHead, &Scope, &Route),
    known: &ProxyUser,
) -> Result<ProxyUser, Reply> {
    if !asks(services, policy) {
        let claim = caller::proxy_user(head).or_else(|| known.name.clone());
        return Ok(ProxyUser::claimed(claim));
    }
    if known.holds(policy) {
        return Ok(known.clone());
    }
    if is_about_the_request(route) {
        return Ok(ProxyUser::default());
    }
    if let Scope::Tunnel(_) = scope {
        let why = "this connection was opened by nobody who may pass this gate now; open another with proxy credentials";
        return Err(Reply::new(Kind::AccessDenied, why));
    }
    let Some(users) = &policy.users else {
        let why = "this gate asks for a client certificate: use it by https://, with a certificate of its --client-ca";
        return Err(Reply::new(Kind::AccessDenied, why));
    };
    let (user, password) = match Offered::by(head) {
        Offered::Basic { user, password } => (user, password),
        Offered::Nothing if is_transparent(route) => {
            let why = "this gate asks clients who they are, and one that takes it for AWS cannot say so: use it as a \
                       proxy (HTTPS_PROXY) with user and password, or show a client certificate";
            return Err(Reply::new(Kind::AccessDenied, why));
        }
        Offered::Nothing => {
            let why =
                "this gate asks for a user and password, as in http://USER:PASSWORD@HOST:PORT";
            return Err(Reply::new(Kind::ProxyAuthentication, why));
        }
        Offered::Unreadable(why) => return Err(Reply::new(Kind::ProxyAuthentication, why)),
    };
    let verified = services
        .authentication
        .verify(users, client, &user, password);
    let verified = tokio::select! {
        biased;
        verified = verified => verified,
        () = services.cut() => {
            return Err(Reply::new(Kind::Stopping, "tollgate is stopping"));
        }
    };
    match verified {
        Ok(hash) => Ok(ProxyUser {
            name: Some(user),
            proof: Some(Proof::Password(hash)),
        }),
        Err(wrong) => Err(refusal(wrong)),
    }
}

fn refusal(wrong: Wrongly) -> Reply {
    match wrong {
        Wrongly::Mistaken => Reply::new(
            Kind::ProxyAuthentication,
            "nobody passes this gate by that user and password",
        ),
        Wrongly::Shut(left) => {
            let seconds = left.as_secs() + 1;
            Reply::new(
                Kind::ProxyAuthentication,
                format!("too many wrong passwords: nothing is heard for {seconds} seconds"),
            )
        }
        Wrongly::Busy => Reply::new(
            Kind::Overloaded,
            "too many clients are being asked who they are; try again",
        ),
    }
}

/// What is wrong with a request whoever sends it, and says nothing about this gate's rules.
fn is_about_the_request(route: &Route) -> bool {
    match route {
        Route::RefusePlain(reply) | Route::RefuseTyped(reply, _) => matches!(
            reply.kind,
            Kind::Malformed | Kind::Misdirected | Kind::WrongSignedHost | Kind::NotFound
        ),
        Route::Exchange(_) | Route::Open { .. } | Route::Tunnel { .. } => false,
    }
}

fn is_transparent(route: &Route) -> bool {
    match route {
        Route::Exchange(plan) => plan.entry == Entry::Transparent,
        Route::RefuseTyped(_, entry) => *entry == Entry::Transparent,
        Route::RefusePlain(_) | Route::Open { .. } | Route::Tunnel { .. } => false,
    }
}

/// Whether the access rules let `user` send a request that goes by `plan`.
///
/// # Errors
/// What to tell whoever may not.
pub(super) fn check(policy: &Policy, plan: &Plan, user: Option<&str>) -> Result<(), Reply> {
    // What the rules compare takes time to find out.
    if policy.access.is_empty() {
        return Ok(());
    }
    let scope = match &plan.credentials {
        Credentials::SigV4(signature) => Some(&signature.scope),
        Credentials::Bearer { scope, .. } => scope.as_ref(),
        Credentials::Other | Credentials::None => None,
    };
    let access_key = scope
        .map(|scope| scope.access_key_id.as_str())
        .filter(|id| !sigv4::may_be_secret_key(id));
    let account = access_key.and_then(sigv4::account_of);
    // The host decides where a call is answered; AWS refuses a signature for another region.
    let signed_region = scope.and_then(|scope| scope.region.as_deref());
    // A path in the place of a model is nothing that a glob should judge.
    let model = plan
        .call
        .as_ref()
        .and_then(|call| call.model.as_deref())
        .filter(|model| !model.contains(".."));
    let attempt = Attempt {
        user,
        access_key,
        account: account.as_deref(),
        model,
        region: plan.region.as_deref().or(signed_region),
        operation: plan.call.as_ref().map(|call| call.operation.name()),
        host: Some(&plan.origin.host),
        opaque: !plan.observed,
    };
    allowed(policy, &attempt)
}

/// The same for a tunnel, of which the host is all that is seen.
///
/// # Errors
/// As for [`check`].
pub(super) fn check_tunnel(policy: &Policy, host: &str, user: Option<&str>) -> Result<(), Reply> {
    let attempt = Attempt {
        user,
        host: Some(host),
        opaque: true,
        ..Attempt::default()
    };
    allowed(policy, &attempt)
}

fn allowed(policy: &Policy, attempt: &Attempt<'_>) -> Result<(), Reply> {
    policy
        .access
        .check(attempt)
        .map_err(|refused| Reply::new(Kind::AccessDenied, refused.message(attempt.user)))
}
