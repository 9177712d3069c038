use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::{ApiError, ApiResult, ErrorBody, ErrorCode};

/// An answer in JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.code.is_retryable();
        let mut response = json(status, &ErrorBody { error: self });
        if retry {
            let header = axum::http::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, header);
        }
        response
    }
}

/// Reads a whole body of at most `bytes_max` within `limit`.
pub(crate) async fn read_body(body: Body, bytes_max: usize, limit: Duration) -> ApiResult<Bytes> {
    let read = tokio::time::timeout(limit, Limited::new(body, bytes_max).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            ErrorCode::TooLarge,
            format!("the body is larger than {bytes_max} bytes"),
            "send a smaller document",
        )),
        Ok(Err(error)) => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("the body cannot be read: {error}"),
            "send it again",
        )),
        Err(_) => Err(ApiError::new(
            ErrorCode::TimedOut,
            format!("the body did not arrive within {} s", limit.as_secs()),
            "send it faster",
        )),
    }
}

/// The answer where there is no route.
pub(crate) async fn route_missing(request: Request) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("no such route: {} {}", request.method(), request.uri().path()),
        "",
    )
}

/// Every request of `router` is answered within `limit`.
pub(crate) fn with_deadline(router: Router, limit: Duration) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| async move {
        match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::new(
                ErrorCode::TimedOut,
                format!("no answer within {} s", limit.as_secs()),
                "ask `virtengine-provider status` what is busy, then ask again",
            )
            .into_response(),
        }
    }))
}

/// A panic in `router` is an answer, not the end of the connection.
pub(crate) fn catch_panic(router: Router) -> Router {
    router.layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send + 'static>| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(panic = text, "a request handler panicked");
        ApiError::internal("the request failed inside the provider").into_response()
    }))
}
