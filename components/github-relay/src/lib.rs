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
    use deploy_spin::Spin;
    use spin_sdk::http::{IntoResponse, Request};
    use spin_sdk::http_service;
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
        /// What the variables mean, until they are read again.
        static SETTINGS: RefCell<Option<(Rc<Variables>, Rc<GithubRelaySettings>)>> = const { RefCell::new(None) };
    }

    fn settings(variables: &Rc<Variables>) -> Result<Rc<GithubRelaySettings>, SettingError> {
        let known = SETTINGS.with_borrow(|known| known.clone());
        if let Some((_, settings)) = known.filter(|(of, _)| Rc::ptr_eq(of, variables)) {
            return Ok(settings);
        }
        let settings = Rc::new(GithubRelaySettings::read(variables)?);
        SETTINGS.set(Some((variables.clone(), settings.clone())));
        Ok(settings)
    }

    #[http_service]
    async fn handle(request: Request) -> impl IntoResponse {
        let (head, mut body) = deploy_spin::inbound(request);
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
