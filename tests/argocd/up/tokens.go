package up

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// tokens logs in as admin, and makes the token of the bot's account, as a person does at the installation.
func (u *instance) tokens(ctx context.Context) (admin, bot string, err error) {
	admin, err = u.post(ctx, "", "/api/v1/session", map[string]string{"username": "admin", "password": u.adminPassword})
	if err != nil {
		return "", "", err
	}
	bot, err = u.post(ctx, admin, "/api/v1/account/"+account+"/token", map[string]string{})
	return admin, bot, err
}

// post sends a request to Argo CD that is answered with a token.
func (u *instance) post(ctx context.Context, as, path string, body any) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url+path, bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if as != "" {
		request.Header.Set("Authorization", "Bearer "+as)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("POST %s: %s, no token", path, response.Status)
	}
	return answer.Token, nil
}
