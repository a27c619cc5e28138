//! The door of github-relay: turns what Spin hands in into calls of the story in `handle`. Wasm only; no decisions.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "the door, which uses it all, exists in the wasm only")
)]

pub(crate) mod handle;

#[cfg(target_family = "wasm")]
mod door {
    use crate::handle;
    use deploy_core::settings::{GithubRelaySettings, SettingError, Variables};
    use deploy_spin::{Meaning, Spin};
    use spin_sdk::wasip3::exports::http::handler::Guest;
    use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
    use std::cell::RefCell;
    use std::rc::Rc;

    thread_local! {
        /// One world for all requests of the instance, so that they share its connections. No request's data is in it.
        static WORLD: RefCell<Option<Rc<Spin>>> = const { RefCell::new(None) };
    }

    fn world(settings: &GithubRelaySettings) -> Rc<Spin> {
        WORLD.with_borrow_mut(|world| {
            world.get_or_insert_with(|| Rc::new(Spin::new(settings.redis_url.clone()))).clone()
        })
    }

    thread_local! {
        static SETTINGS: Meaning<GithubRelaySettings> = const { Meaning::new() };
    }

    fn settings(variables: &Rc<Variables>) -> Result<Rc<GithubRelaySettings>, SettingError> {
        SETTINGS.with(|settings| settings.of(variables, GithubRelaySettings::read))
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
        let (head, mut body) = deploy_spin::inbound(request, handle::HEADERS);
        let variables = deploy_spin::variables(GithubRelaySettings::NAMES).await;
        let answer = match handle::verify(&head, &mut body, &variables).await {
            Ok(verified) => match settings(&variables) {
                Ok(settings) => handle::push(&*world(&settings), &settings, verified).await,
                Err(error) => {
                    deploy_spin::log(&handle::setting_line(&error));
                    handle::unready()
                }
            },
            Err((answer, line)) => {
                if let Some(line) = line {
                    deploy_spin::log(&line);
                }
                answer
            }
        };
        deploy_spin::answer(answer)
    }
}
