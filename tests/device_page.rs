//! Where a person lets a device in: what the page shows, and what it takes no answer from.

mod common;
#[path = "common/device.rs"]
mod devices;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::*;
use devices::*;
use http::{Request, StatusCode, header};
use tower_mcp_auth::MemoryStore;

#[tokio::test]
async fn nothing_is_approved_by_looking() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let complete = format!("{PAGE}?user_code={}&decision=approve", device.user_code);
    let page = browser.get(&complete).await;
    // The first page says nothing about the device, so following links is no way to guess codes.
    assert!(page.body.contains(&device.user_code), "{page:?}");
    assert!(!page.body.contains("Television"), "{page:?}");
    confirm_page(&browser, &device).await;
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    // The first form's token does not decide.
    let pressed = [("user_code", &*device.user_code), ("decision", "approve")];
    let answer = submit(&browser, &page, &pressed).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    app.advance(5);
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
}

#[tokio::test]
async fn a_code_is_read_in_any_case_and_with_any_punctuation() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let plain = device.user_code.replace('-', "").to_lowercase();
    for typed in [plain.clone(), format!(" {}.{} ", &plain[..3], &plain[3..])] {
        let page = type_code(&browser, &typed).await;
        assert_eq!(page.status, StatusCode::OK, "{typed}: {page:?}");
        assert!(page.body.contains(&device.user_code), "{page:?}");
    }
}

#[tokio::test]
async fn forms_are_accepted_from_where_they_were_shown() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let page = confirm_page(&browser, &device).await;
    let mut fields = page.fields();
    fields.insert("decision".to_owned(), "approve".to_owned());
    let pairs: Vec<_> = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let approval = |name: &'static str, value: &'static str| {
        Request::post("/oauth/device")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(name, value)
            .body(Body::from(form(&pairs)))
            .unwrap()
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
    ] {
        let answer = browser.send(approval(name, value)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {answer:?}");
    }
    // The same user in another browser, which has looked at the page too.
    let other = Browser::of(&app, "alice");
    confirm_page(&other, &device).await;
    let answer = other.send(approval("origin", ORIGIN)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    // Another user in the same browser; nobody at all.
    browser.sign_in("bob");
    let answer = browser.send(approval("origin", ORIGIN)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    assert!(
        answer.body.contains(&device.user_code),
        "one more look: {answer:?}"
    );
    browser.forget("user");
    let login = browser
        .send(approval("origin", ORIGIN))
        .await
        .redirect(LOGIN);
    let back = app.auth.resume_url(&login["transaction"]);
    assert_eq!(back, format!("{PAGE}?user_code={}", device.user_code));
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    // The token of one code decides about no other.
    browser.sign_in("alice");
    let victim = device_of(&app, &device.client).await;
    let mut others = page.fields();
    others.insert("user_code".to_owned(), victim.user_code.clone());
    others.insert("decision".to_owned(), "approve".to_owned());
    let pairs: Vec<_> = others
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let answer = browser.post(PAGE, form(&pairs)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    poll(&app, &victim)
        .await
        .assert_error(400, "authorization_pending");

    let answer = browser.send(approval("origin", ORIGIN)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    Tokens::from(&poll(&app, &device).await);
}

#[tokio::test]
async fn a_form_without_its_parts_is_refused() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let page = confirm_page(&browser, &device).await;
    for wrong in [
        submit(&browser, &page, &[]).await,
        submit(&browser, &page, &[("decision", "perhaps")]).await,
        submit(
            &browser,
            &page,
            &[("decision", "approve"), ("decision", "deny")],
        )
        .await,
        browser.post(PAGE, form(&[("decision", "approve")])).await,
        browser.post(PAGE, "user_code=%ff".to_owned()).await,
        browser
            .get(&format!("{PAGE}?user_code=a&user_code=b"))
            .await,
    ] {
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    }
    let typo = type_code(&browser, "AEIO-UAEI").await;
    assert_eq!(typo.status, StatusCode::BAD_REQUEST, "{typo:?}");
    assert!(typo.body.contains("value=\"AEIO-UAEI\""), "{typo:?}");
    assert!(typo.body.contains("role=\"alert\""), "{typo:?}");
    // Who reads no pages is refused in words it reads.
    let request = Request::post(PAGE)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", ORIGIN)
        .header("accept", "application/json")
        .body("user_code=AEIO-UAEI".into());
    browser
        .send(request.unwrap())
        .await
        .assert_error(400, "invalid_request");
    // Right after that the form works.
    let page = submit(&browser, &typo, &[("user_code", &device.user_code)]).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
}

#[tokio::test]
async fn guessing_codes_comes_to_an_end_for_the_one_who_guesses() {
    // Even where nothing else is limited.
    let app = App::with(|builder| builder.store(MemoryStore::new()).danger_no_rate_limits());
    let device = device(&app).await;
    let browser = Browser::of(&app, "mallory");
    let wrong = if device.user_code == "BBBB-BBBB" {
        "CCCC-CCCC"
    } else {
        "BBBB-BBBB"
    };
    for _ in 0..10 {
        // What cannot be a code at all is no guess.
        type_code(&browser, "typo").await;
        let answer = type_code(&browser, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
    // Another browser does not help, nor does the right code.
    for code in [wrong, &device.user_code] {
        let answer = type_code(&Browser::of(&app, "mallory"), code).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
        assert_eq!(answer.header("retry-after"), "600");
    }
    confirm_page(&Browser::of(&app, "alice"), &device).await;
    app.advance(600);
    let answer = type_code(&browser, wrong).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
}

#[tokio::test]
async fn deciding_without_looking_decides_and_tells_nothing() {
    let app = App::with(|builder| builder.store(MemoryStore::new()).danger_no_rate_limits());
    let browser = Browser::of(&app, "mallory");
    let own = device(&app).await;
    let page = confirm_page(&browser, &own).await;
    let token = page.fields()["token"].clone();
    let secret = browser.cookie("__Host-mcp-auth");
    let victim = device_of(&app, &own.client).await;
    let wrong = match &*victim.user_code {
        "BBBB-BBBB" => "CCCC-CCCC",
        _ => "BBBB-BBBB",
    };
    let guess = async |user_code: &str| {
        let code = user_code.replace('-', "");
        let id = URL_SAFE_NO_PAD.encode(digest(&code).as_bytes());
        // The token of another form, and one made of all that is known to whoever has the cookie.
        let made = digest(&format!("{secret}\n{id}\nmallory"));
        let made = URL_SAFE_NO_PAD.encode(made.as_bytes());
        let mut answers = Vec::new();
        for token in [&token, &made] {
            let pairs = [
                ("user_code", &*code),
                ("token", token),
                ("decision", "approve"),
            ];
            let answer = browser.post(PAGE, form(&pairs)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
            answers.push(answer.body.replace(user_code, "(the code)"));
        }
        answers
    };
    for _ in 0..20 {
        assert_eq!(guess(wrong).await, guess(&victim.user_code).await);
    }
    poll(&app, &victim)
        .await
        .assert_error(400, "authorization_pending");
    let decided = decide(&browser, &page, "approve").await;
    assert_eq!(decided.status, StatusCode::OK, "{decided:?}");
}

#[tokio::test]
async fn pages_allow_no_script_no_frame_and_no_leak() {
    let app = App::new();
    let hostile = "<script>alert(1)</script>\"'";
    let client = device_client(&app, hostile).await;
    let device = device_of(&app, &client).await;
    let browser = Browser::of(&app, "alice");
    let prefilled = browser
        .get(&format!("{PAGE}?{}", form(&[("user_code", hostile)])))
        .await;
    // Strangers do not write into the field.
    assert!(!prefilled.body.contains("alert"), "{prefilled:?}");
    let typo = type_code(&browser, hostile).await;
    let confirm = confirm_page(&browser, &device).await;
    let done = decide(&browser, &confirm, "deny").await;
    for page in [prefilled, typo, confirm, done] {
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("access-control-allow-origin"), "");
        assert!(!page.body.contains("<script"), "{page:?}");
    }
}

#[tokio::test]
async fn signing_in_leads_back_to_this_page_and_nowhere_else() {
    let app = App::new();
    let browser = Browser::new(&app);
    let login = browser
        .get(&format!("{PAGE}?user_code=//evil.example"))
        .await;
    let transaction = &login.redirect(LOGIN)["transaction"];
    assert_eq!(app.auth.resume_url(transaction), PAGE);
    for hostile in [
        "device-//evil.example",
        "device-BCDF-GHJK&x=y#z",
        "device-\r\nx",
    ] {
        let url = app.auth.resume_url(hostile);
        assert!(
            url.starts_with("https://api.example.com/oauth/consent?transaction="),
            "{url}"
        );
    }
    browser.sign_in("outage");
    let answer = browser.get(PAGE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
}
