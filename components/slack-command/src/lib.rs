//! The door of slack-command: turns what Spin hands in into calls of the story in `accept` and `carry`. Wasm only; no decisions.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "the door, which uses it all, exists in the wasm only")
)]

pub(crate) mod accept;
pub(crate) mod carry;
pub(crate) mod converse;
mod speaker;

#[cfg(target_family = "wasm")]
mod door {
    use crate::accept::{self, Accepted, Then, Wish};
    use crate::carry;
    use crate::converse;
    use deploy_core::http::{Inbound, StatusCode};
    use deploy_core::names::DeploymentId;
    use deploy_core::settings::{SettingError, SlackCommandSettings, Variables};
    use deploy_spin::{Meaning, Spin};
    use spin_sdk::wasip3::exports::http::handler::Guest;
    use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
    use std::cell::RefCell;
    use std::rc::Rc;

    thread_local! {
        /// One world for all requests of the instance, so that they share its connections. No request's data is in it.
        static WORLD: RefCell<Option<Rc<Spin>>> = const { RefCell::new(None) };
    }

    fn world(settings: &SlackCommandSettings) -> Rc<Spin> {
        WORLD.with_borrow_mut(|world| {
            world.get_or_insert_with(|| Rc::new(Spin::new(settings.redis_url.clone()))).clone()
        })
    }

    thread_local! {
        static SETTINGS: Meaning<SlackCommandSettings> = const { Meaning::new() };
    }

    fn settings(variables: &Rc<Variables>) -> Result<Rc<SlackCommandSettings>, SettingError> {
        SETTINGS.with(|settings| settings.of(variables, SlackCommandSettings::read))
    }

    fn carry_out(settings: &Rc<SlackCommandSettings>, id: DeploymentId) {
        let (settings, world) = (settings.clone(), world(settings));
        deploy_spin::spawn(async move { carry::carry_out(&*world, &settings, &id).await });
    }

    fn converse(settings: Rc<SlackCommandSettings>, wish: Box<Wish>) {
        let world = world(&settings);
        deploy_spin::spawn(async move { converse::converse(&*world, &settings, *wish).await });
    }

    struct Door;

    // Not the SDK's `#[http_service]`: that turns every header of every request into something that nobody looks at.
    spin_sdk::wasip3::http::service::export!(Door);

    impl Guest for Door {
        async fn handle(request: Request) -> Result<Response, ErrorCode> {
            Ok(handle(request).await)
        }
    }

    async fn handle(request: Request) -> Response {
        let (head, mut body) = deploy_spin::inbound(request, accept::HEADERS);
        let variables = deploy_spin::variables(SlackCommandSettings::NAMES).await;
        deploy_spin::answer(match head.path.as_str() {
            "/slack/command" | "/slack/interaction" => slack(head, &mut body, &variables).await,
            "/healthz" => health(&head, &variables).await,
            _ => accept::not_found(),
        })
    }

    async fn slack(
        head: Inbound,
        body: &mut impl deploy_core::http::Chunks,
        variables: &Rc<Variables>,
    ) -> deploy_core::http::Answer {
        let verified = match accept::verify(&head, body, variables, deploy_spin::now()).await {
            Ok(verified) => verified,
            Err((answer, line)) => {
                if let Some(line) = line {
                    deploy_spin::log(&line);
                }
                return answer;
            }
        };
        let settings = match settings(variables) {
            Ok(settings) => settings,
            Err(error) => {
                deploy_spin::log(&accept::setting_line(&error));
                return accept::setting_answer(&error);
            }
        };
        let Accepted { answer, then } = accept::accept(&*world(&settings), &settings, verified).await;
        match then {
            Then::Nothing => {}
            Then::CarryOut(id, wish) => {
                carry_out(&settings, id);
                if let Some(wish) = wish {
                    converse(settings, wish);
                }
            }
            Then::Converse(wish) => converse(settings, wish),
            Then::TakeBack(id, wish) => {
                let world = world(&settings);
                deploy_spin::spawn(async move {
                    if let Some(wish) = wish {
                        converse::converse(&*world, &settings, *wish).await;
                    }
                    carry::take_back(&*world, &id).await;
                });
            }
        }
        answer
    }

    async fn health(head: &Inbound, variables: &Rc<Variables>) -> deploy_core::http::Answer {
        let settings = match SlackCommandSettings::keys(variables).and_then(|_| settings(variables)) {
            Ok(settings) => settings,
            Err(error) => {
                deploy_spin::log(&accept::setting_line(&error));
                return accept::unready(head, &error);
            }
        };
        let world = world(&settings);
        let answer = accept::health(&*world, head).await;
        if answer.status == StatusCode::METHOD_NOT_ALLOWED {
            return answer;
        }
        // Resuming goes on after the answer: a probe is answered at once.
        deploy_spin::spawn(async move {
            for id in carry::to_resume(&*world, &settings).await {
                carry_out(&settings, id);
            }
        });
        answer
    }
}
